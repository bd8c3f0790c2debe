// The one thing we read from a picture's EXIF data.
#pragma once

#include "absl/strings/string_view.h"

namespace cleave {

// The orientation tag (0x0112) of the first directory of `tiff`, the EXIF data after "Exif\0\0".
// 1 to 8 as in the EXIF standard; 1, upright, when it is absent or the data is malformed: a damaged
// remark is no reason to refuse a picture. Allocates nothing.
int ReadExifOrientation(absl::string_view tiff);

}  // namespace cleave
