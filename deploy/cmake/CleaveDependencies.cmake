# Every outside library, each under third_party::. gRPC, protobuf and Abseil are the static
# archives of the distribution: its libsentencepiece exports the symbols of a protobuf of its own,
# and a process that loads both shared libraries crashes. CleaveTargets hides what they export.

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
find_package(GTest REQUIRED)
find_package(benchmark REQUIRED)
include(GoogleTest)

# A static archive by its file name, as ${out}.
function(_archive out file)
  find_library(CLEAVE_ARCHIVE_${file} NAMES ${file} REQUIRED)
  set(${out} ${CLEAVE_ARCHIVE_${file}} PARENT_SCOPE)
endfunction()

# Abseil's archives depend on each other in ways that differ between its releases, so the linker
# gets them as one group; what is not needed is not linked.
_archive(absl_base libabsl_base.a)
get_filename_component(archive_dir ${absl_base} DIRECTORY)
file(GLOB absl_archives ${archive_dir}/libabsl_*.a)
list(FILTER absl_archives EXCLUDE REGEX "libabsl_flags|_test|benchmark")
add_library(third_party::absl INTERFACE IMPORTED)
target_link_libraries(third_party::absl INTERFACE
  -Wl,--start-group ${absl_archives} -Wl,--end-group Threads::Threads rt)

_archive(protobuf libprotobuf.a)
add_library(third_party::protobuf INTERFACE IMPORTED)
target_link_libraries(third_party::protobuf INTERFACE ${protobuf} z third_party::absl)

foreach(name grpc++_reflection grpc++ grpc address_sorting re2 upb cares z gpr ssl crypto)
  _archive(path lib${name}.a)
  list(APPEND grpc_archives ${path})
endforeach()
add_library(third_party::grpc INTERFACE IMPORTED)
target_link_libraries(third_party::grpc INTERFACE
  ${grpc_archives} third_party::protobuf third_party::absl dl Threads::Threads)

find_program(PROTOC protoc REQUIRED)
find_program(GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)

foreach(name sndfile soxr libjpeg libpng sentencepiece)
  string(REGEX REPLACE "^lib" "" short ${name})
  pkg_check_modules(${short} REQUIRED IMPORTED_TARGET GLOBAL ${name})
  add_library(third_party::${short} ALIAS PkgConfig::${short})
endforeach()

find_package(prometheus-cpp CONFIG REQUIRED)
add_library(third_party::prometheus INTERFACE IMPORTED)
target_link_libraries(third_party::prometheus INTERFACE prometheus-cpp::pull)

add_library(third_party::xxhash INTERFACE IMPORTED)
target_link_libraries(third_party::xxhash INTERFACE xxhash)
_archive(crypto libcrypto.a)
add_library(third_party::crypto INTERFACE IMPORTED)
target_link_libraries(third_party::crypto INTERFACE ${crypto} dl Threads::Threads)

# Header-only: RapidJSON (keeps the spelling of numbers and the order of keys), CLI11 (flags).
find_path(RAPIDJSON_INCLUDE rapidjson/document.h REQUIRED)
find_path(CLI11_INCLUDE CLI/CLI.hpp REQUIRED)

add_library(third_party::gmock_main INTERFACE IMPORTED)
target_link_libraries(third_party::gmock_main INTERFACE GTest::gmock_main GTest::gmock GTest::gtest)
