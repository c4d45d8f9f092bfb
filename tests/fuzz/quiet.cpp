#include <google/protobuf/stubs/logging.h>

// Of each fuzzer under libFuzzer: protobuf tells of each string that is no UTF-8.
extern "C" int LLVMFuzzerInitialize(int*, char***) {
  google::protobuf::SetLogHandler(nullptr);
  return 0;
}
