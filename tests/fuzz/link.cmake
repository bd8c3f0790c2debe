cleave_fuzz_target(kv_link SRCS kv_link_fuzz.cc DEPS cleave::runtime_link)
cleave_fuzz_target(kv_link_proto SRCS kv_link_proto_fuzz.cc DEPS cleave::runtime_link_grpc)
