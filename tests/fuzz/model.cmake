cleave_fuzz_target(safetensors SRCS safetensors_fuzz.cc DEPS cleave::checkpoint)
cleave_fuzz_target(model_config SRCS model_config_fuzz.cc DEPS cleave::model)
