cleave_library(golden_media_check
  SRCS ${CMAKE_CURRENT_LIST_DIR}/media_check.cc ${CMAKE_CURRENT_LIST_DIR}/video_check.cc
  DEPS cleave::golden_report cleave::media cleave::checkpoint third_party::crypto)
cleave_library(golden_layout_check
  SRCS ${CMAKE_CURRENT_LIST_DIR}/layout_check.cc
  DEPS cleave::golden_text_check cleave::media_test_files)
