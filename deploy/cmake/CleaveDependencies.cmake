# Every outside library, each under third_party::. gRPC, protobuf and Abseil are the static
# archives of the distribution: its libsentencepiece exports the symbols of a protobuf of its own,
# and a process that loads both shared libraries crashes. CleaveTargets hides what they export.

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(GTest REQUIRED)
find_package(benchmark REQUIRED)
include(GoogleTest)

# A static archive by its name, as ${out}. Ubuntu calls some NAME_static.
function(_archive out name)
  find_library(CLEAVE_ARCHIVE_${name} NAMES lib${name}.a lib${name}_static.a REQUIRED)
  set(${out} ${CLEAVE_ARCHIVE_${name}} PARENT_SCOPE)
endfunction()

# Abseil's archives depend on each other in ways that differ between its releases, so the linker
# gets them as one group; what is not needed is not linked.
_archive(absl_base absl_base)
get_filename_component(archive_dir ${absl_base} DIRECTORY)
file(GLOB absl_archives ${archive_dir}/libabsl_*.a)
list(FILTER absl_archives EXCLUDE REGEX "libabsl_flags|_test|benchmark")
list(JOIN absl_archives "," absl_group)
add_library(third_party::absl INTERFACE IMPORTED)
target_link_libraries(third_party::absl INTERFACE
  "$<LINK_GROUP:RESCAN,${absl_group}>" Threads::Threads rt)

# third_party::NAME is the archive libNAME.a, linked before what it needs.
function(_static_library name)
  _archive(path ${name})
  add_library(third_party::${name} STATIC IMPORTED GLOBAL)
  set_target_properties(third_party::${name} PROPERTIES
    IMPORTED_LOCATION ${path} INTERFACE_LINK_LIBRARIES "${ARGN}")
endfunction()

_static_library(protobuf z third_party::absl)
# What libcrypto.a needs differs between releases (Debian 13's compresses with zstd).
pkg_check_modules(libcrypto REQUIRED libcrypto)
list(REMOVE_ITEM libcrypto_STATIC_LIBRARIES crypto)
_static_library(crypto ${libcrypto_STATIC_LIBRARIES} Threads::Threads)
_static_library(ssl third_party::crypto)
_static_library(gpr third_party::absl)
_static_library(upb)
_static_library(re2 Threads::Threads)
_static_library(cares)
_static_library(address_sorting third_party::gpr)
_static_library(grpc third_party::address_sorting third_party::re2 third_party::upb
  third_party::cares third_party::ssl third_party::gpr z third_party::absl)
_static_library(grpc++ third_party::grpc third_party::protobuf)
_static_library(grpc++_reflection third_party::grpc++)

find_program(PROTOC protoc REQUIRED)
find_program(GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)

foreach(name sndfile soxr libjpeg libpng libwebp libwebpdemux libmpg123 opusfile vorbisfile
    sentencepiece)
  string(REGEX REPLACE "^lib" "" short ${name})
  pkg_check_modules(${short} REQUIRED IMPORTED_TARGET GLOBAL ${name})
  add_library(third_party::${short} ALIAS PkgConfig::${short})
endforeach()

find_package(GIF REQUIRED)  # giflib itself has no pkg-config file
add_library(third_party::gif ALIAS GIF::GIF)

# Unicode's upper and lower case. The shared library's symbols carry its version.
pkg_check_modules(icu REQUIRED IMPORTED_TARGET GLOBAL icu-uc)
add_library(third_party::icu ALIAS PkgConfig::icu)

find_package(prometheus-cpp CONFIG REQUIRED)
add_library(third_party::prometheus INTERFACE IMPORTED)
target_link_libraries(third_party::prometheus INTERFACE prometheus-cpp::pull)

add_library(third_party::xxhash INTERFACE IMPORTED)
target_link_libraries(third_party::xxhash INTERFACE xxhash)

# Header-only: RapidJSON (keeps the spelling of numbers and the order of keys), CLI11 (flags).
find_path(RAPIDJSON_INCLUDE rapidjson/document.h REQUIRED)
find_path(CLI11_INCLUDE CLI/CLI.hpp REQUIRED)

add_library(third_party::benchmark ALIAS benchmark::benchmark)
add_library(third_party::gmock_main INTERFACE IMPORTED)
target_link_libraries(third_party::gmock_main INTERFACE GTest::gmock_main GTest::gmock GTest::gtest)
