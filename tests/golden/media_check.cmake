cleave_library(golden_media_check
  SRCS ${PROJECT_SOURCE_DIR}/tests/golden/media_check.cc
  DEPS cleave::golden_report cleave::media cleave::checkpoint third_party::crypto)
