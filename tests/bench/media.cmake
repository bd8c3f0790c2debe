find_package(benchmark REQUIRED)
cleave_binary(media_bench
  SRCS ${PROJECT_SOURCE_DIR}/tests/bench/media_bench.cc
  DEPS cleave::media_test_files benchmark::benchmark)
