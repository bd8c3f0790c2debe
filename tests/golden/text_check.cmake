cleave_library(golden_text_check
  SRCS ${CMAKE_CURRENT_LIST_DIR}/text_cases.cc ${CMAKE_CURRENT_LIST_DIR}/text_check.cc
       ${CMAKE_CURRENT_LIST_DIR}/parser_check.cc
  DEPS cleave::golden_report cleave::conversation_json cleave::tokenizer cleave::runtime_base)
