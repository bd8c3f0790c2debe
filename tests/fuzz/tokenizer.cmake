cleave_fuzz_target(tokenizer_json
  SRCS ${CMAKE_CURRENT_LIST_DIR}/tokenizer_json_fuzz.cc
  DEPS cleave::tokenizer)
cleave_fuzz_target(tokenizer_encode
  SRCS ${CMAKE_CURRENT_LIST_DIR}/tokenizer_encode_fuzz.cc
  DEPS cleave::tokenizer cleave::small_tokenizer)
