# The four kinds of target. Warnings are errors on all of them and on nothing else.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)

# address: with undefined and leak; thread; empty: none. Set by the presets.
set(CLEAVE_SANITIZER "" CACHE STRING "address, thread or empty")
option(CLEAVE_PLANTED_BUGS "Make one mistake on demand (runtime/base/planted_bug.h)" OFF)
option(CLEAVE_FUZZ "Build the fuzz targets for libFuzzer (clang)" OFF)

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()

add_library(cleave_options INTERFACE)
# Kernels choose their instruction set at run time; everything else needs only this.
target_compile_options(cleave_options INTERFACE -march=x86-64-v2 -ffp-contract=off)
target_include_directories(cleave_options INTERFACE ${PROJECT_SOURCE_DIR})
if(CLEAVE_SANITIZER STREQUAL "address")
  set(sanitize -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
elseif(CLEAVE_SANITIZER STREQUAL "thread")
  set(sanitize -fsanitize=thread -fno-omit-frame-pointer)
endif()
if(CLEAVE_FUZZ)
  # RapidJSON adds an offset to a null pointer, which only clang's sanitizer minds.
  list(APPEND sanitize -fsanitize=fuzzer-no-link -fno-sanitize=pointer-overflow)
endif()
target_compile_options(cleave_options INTERFACE ${sanitize})
if(CLEAVE_PLANTED_BUGS)
  target_compile_definitions(cleave_options INTERFACE CLEAVE_PLANTED_BUGS)
endif()
target_link_options(cleave_options INTERFACE ${sanitize})

# What files for one instruction set are compiled with. GCC 12 takes the deliberately undefined
# vectors in its own AVX-512 header for mistakes.
set(CLEAVE_ISA_avx2 -O3 -mavx2 -mfma)
set(CLEAVE_ISA_avx512 ${CLEAVE_ISA_avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl
  -Wno-uninitialized)
if(CLEAVE_SANITIZER STREQUAL "address" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 does not align 64-byte vectors in the sanitizer's own stack frames (GCC bug 110027).
  list(APPEND CLEAVE_ISA_avx512 --param=asan-use-after-return=0)
endif()
set(CLEAVE_ISA_avx512bf16 ${CLEAVE_ISA_avx512} -mavx512bf16)

function(_cleave_warnings target)
  # Designated initializers leave fields at their defaults on purpose.
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Werror
    -Wno-missing-field-initializers)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    target_compile_options(${target} PRIVATE -Wthread-safety)
  else()
    # GCC 12 reports values moved out of an absl::StatusOr.
    target_compile_options(${target} PRIVATE -Wno-maybe-uninitialized)
  endif()
endfunction()

# cleave_library(runtime_kv SRCS a.cc DEPS cleave::runtime_base [PUBLIC_LIBS x] )
# makes the static library cleave_runtime_kv with the alias cleave::runtime_kv.
function(cleave_library name)
  cmake_parse_arguments(arg "" "" "SRCS;DEPS" ${ARGN})
  add_library(cleave_${name} STATIC ${arg_SRCS})
  add_library(cleave::${name} ALIAS cleave_${name})
  _cleave_warnings(cleave_${name})
  target_link_libraries(cleave_${name} PUBLIC cleave_options ${arg_DEPS})
endfunction()

# Symbols of static third-party archives stay hidden: a shared library of the system that carries
# another protobuf (sentencepiece does) must not meet ours.
function(_cleave_hide_third_party target)
  target_link_options(${target} PRIVATE -Wl,--exclude-libs,ALL)
endfunction()

# cleave_binary(cleave-decode SRCS main.cc DEPS cleave::decode)
function(cleave_binary name)
  cmake_parse_arguments(arg "" "" "SRCS;DEPS" ${ARGN})
  add_executable(${name} ${arg_SRCS})
  _cleave_warnings(${name})
  target_link_libraries(${name} PRIVATE cleave_options ${arg_DEPS})
  _cleave_hide_third_party(${name})
endfunction()

# cleave_test(runtime_kv SRCS page_allocator_test.cc DEPS cleave::runtime_kv [NETWORK] [LABELS slow])
# One executable, one CTest entry per test case. NETWORK: its process, or one that it starts, uses
# gRPC. ThreadSanitizer does not see the atomics of the packaged gRPC, so there it must not take
# gRPC's memcpy, new and close for races; races between our own loads and stores are still found.
function(cleave_test name)
  cmake_parse_arguments(arg "NETWORK" "" "SRCS;DEPS;LABELS" ${ARGN})
  add_executable(${name}_test ${arg_SRCS})
  _cleave_warnings(${name}_test)
  target_compile_definitions(${name}_test PRIVATE
    CLEAVE_SOURCE_DIR="${PROJECT_SOURCE_DIR}" CLEAVE_BINARY_DIR="${CMAKE_BINARY_DIR}")
  target_link_libraries(${name}_test PRIVATE
    cleave_options ${arg_DEPS} third_party::gmock_main)
  _cleave_hide_third_party(${name}_test)
  if(arg_LABELS)
    set(labels LABELS ${arg_LABELS})
  endif()
  if(arg_NETWORK)
    set(network ENVIRONMENT_MODIFICATION
      "TSAN_OPTIONS=string_append:,ignore_interceptors_accesses=1")
  endif()
  gtest_discover_tests(${name}_test DISCOVERY_MODE PRE_TEST
    TEST_PREFIX ${name}. PROPERTIES TIMEOUT 300 ${labels} ${network})
endfunction()

# cleave_fuzz_target(safetensors SRCS safetensors_fuzz.cc DEPS cleave::model)
# With CLEAVE_FUZZ a libFuzzer binary. Otherwise the same function runs over the corpus folder
# tests/fuzz/corpus/NAME and a thousand seeded mutations of it, as a test.
function(cleave_fuzz_target name)
  cmake_parse_arguments(arg "" "" "SRCS;DEPS" ${ARGN})
  add_executable(${name}_fuzz ${arg_SRCS})
  _cleave_warnings(${name}_fuzz)
  target_link_libraries(${name}_fuzz PRIVATE cleave_options ${arg_DEPS})
  if(CLEAVE_FUZZ)
    # clang's sanitizer runtime is an archive too, and must stay visible.
    target_link_options(${name}_fuzz PRIVATE -fsanitize=fuzzer -Wl,--exclude-libs,libprotobuf.a)
  else()
    _cleave_hide_third_party(${name}_fuzz)
    target_sources(${name}_fuzz PRIVATE ${PROJECT_SOURCE_DIR}/tests/fuzz/corpus_driver.cc)
    add_test(NAME fuzz.${name} COMMAND ${name}_fuzz ${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name})
    set_tests_properties(fuzz.${name} PROPERTIES TIMEOUT 300)
  endif()
endfunction()
