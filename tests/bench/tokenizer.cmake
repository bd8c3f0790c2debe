find_package(benchmark REQUIRED)
cleave_binary(tokenizer_bench
  SRCS ${CMAKE_CURRENT_LIST_DIR}/tokenizer_bench.cc
  DEPS cleave::golden_text_check benchmark::benchmark)
