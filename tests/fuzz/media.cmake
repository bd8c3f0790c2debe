cleave_fuzz_target(image SRCS ${PROJECT_SOURCE_DIR}/tests/fuzz/image_fuzz.cc DEPS cleave::media)
cleave_fuzz_target(audio SRCS ${PROJECT_SOURCE_DIR}/tests/fuzz/audio_fuzz.cc DEPS cleave::media)
