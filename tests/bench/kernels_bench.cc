// The CPU backend on the 12B's shapes, beside what the machine can do at most in the same run.
//
//   kernels_bench [--benchmark_filter='avx512bf16/linear']
//
// GB/s counts the weights (linear layers) or the K and V read (attention); share_of_read is their
// part of the read probe, share_of_peak the part of the multiplication probe of the arithmetic
// used. Best of the repetitions is what counts on a machine that others use too.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "kernels/cpu/thread_pool.h"
#include "kernels/kernels.h"
#include "runtime/base/bfloat16.h"
#include "tests/bench/cpu_probe.h"

namespace cleave::bench {
namespace {

// Larger than any cache, so that weights come from memory as they do when a model decodes.
constexpr int64_t kColdBytes = 192 << 20;

// The best seconds of several runs of `work` by all threads together.
template <class Work>
double BestSeconds(Work work) {
  double best = 1e9;
  for (int run = 0; run < 7; ++run) {
    std::vector<std::thread> threads;
    threads.reserve(static_cast<size_t>(cpu::AvailableProcessors()));
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < cpu::AvailableProcessors(); ++i) threads.emplace_back(work, i);
    for (std::thread& thread : threads) thread.join();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    best = std::min(best, seconds.count());
  }
  return best;
}

struct Peaks {
  double read;      // bytes a second
  double floats;    // operations a second
  double bfloat16;  // the same
};

Peaks MeasurePeaks(const CpuProbe& probe) {
  constexpr int64_t kRounds = 4'000'000;
  const int threads = cpu::AvailableProcessors();
  const size_t share = (size_t{1} << 30) / static_cast<size_t>(threads);
  const std::vector<float> memory((size_t{1} << 30) / sizeof(float), 1.0f);
  const auto rate = [&](double amount, auto work) { return amount * threads / BestSeconds(work); };
  const auto read_rate = [&](auto read) {
    return rate(static_cast<double>(share), [&](int i) {
      const char* at = reinterpret_cast<const char*>(memory.data());
      benchmark::DoNotOptimize(read(at + share * static_cast<size_t>(i), share));
    });
  };
  return {.read = std::max(read_rate(probe.read_one_stream), read_rate(probe.read_four_streams)),
          .floats = rate(probe.flops_per_round * kRounds,
                         [&](int) { benchmark::DoNotOptimize(probe.multiply(kRounds)); }),
          .bfloat16 = rate(probe.bfloat16_flops_per_round * kRounds, [&](int) {
            benchmark::DoNotOptimize(probe.multiply_bfloat16(kRounds));
          })};
}

// One ISA: its kernels and its peaks.
struct Machine {
  explicit Machine(const CpuProbe& probe)
      : isa(probe.isa),
        peaks(MeasurePeaks(probe)),
        device(CreateHostDevice()),
        kernels(*CreateKernels(*device, {.isa = probe.isa})) {}

  Buffer Fill(int64_t elements, DType dtype) const {
    Buffer buffer = *device->Allocate(static_cast<size_t>(elements) * DTypeBytes(dtype));
    for (int64_t i = 0; i < elements; ++i) {
      const float value = static_cast<float>(i * 2654435761u % 2048) / 1024.0f - 1.0f;
      if (dtype == DType::kBFloat16) {
        static_cast<BFloat16*>(buffer.data())[i] = ToBFloat16(value);
      } else {
        static_cast<float*>(buffer.data())[i] = value;
      }
    }
    return buffer;
  }

  std::string isa;
  Peaks peaks;
  std::unique_ptr<Device> device;
  std::unique_ptr<Kernels> kernels;
};

// Runs `work` for the benchmark and reports what it moved and computed, each beside its peak.
template <class Work>
void Measure(benchmark::State& state, double bytes, double flops, double read_peak,
             double flops_peak, Work work) {
  const auto start = std::chrono::steady_clock::now();
  for (auto _ : state) work();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  const double rounds = static_cast<double>(state.iterations()) / seconds.count();
  state.counters["GB/s"] = bytes * rounds / 1e9;
  state.counters["GFLOP/s"] = flops * rounds / 1e9;
  state.counters["share_of_read"] = bytes * rounds / read_peak;
  state.counters["share_of_peak"] = flops * rounds / flops_peak;
}

struct LinearShape {
  const char* name;
  int64_t outputs, inputs;
};
constexpr LinearShape kLinearShapes[] = {{"sliding_q", 4096, 3840}, {"full_q", 8192, 3840},
                                         {"sliding_k", 2048, 3840}, {"full_k", 512, 3840},
                                         {"sliding_o", 3840, 4096}, {"full_o", 3840, 8192},
                                         {"gate", 15360, 3840},     {"down", 3840, 15360}};

void Linear(benchmark::State& state, const Machine& machine, const LinearShape& shape, DType dtype,
            int64_t rows) {
  const int64_t bytes = shape.outputs * shape.inputs * 2;
  std::vector<std::unique_ptr<LinearWeight>> weights;
  const Buffer source = machine.Fill(shape.outputs * shape.inputs, DType::kBFloat16);
  for (int64_t copies = std::max<int64_t>(1, kColdBytes / bytes); copies > 0; --copies) {
    weights.push_back(*machine.kernels->LoadLinear(
        {source.data(), DType::kBFloat16, shape.outputs, shape.inputs}));
  }
  const Buffer x = machine.Fill(rows * shape.inputs, dtype);
  const Buffer out = machine.Fill(rows * shape.outputs, dtype);
  size_t next = 0;
  Measure(state, static_cast<double>(bytes),
          2.0 * static_cast<double>(rows * shape.outputs * shape.inputs), machine.peaks.read,
          dtype == DType::kBFloat16 ? machine.peaks.bfloat16 : machine.peaks.floats, [&] {
            machine.kernels->Linear(x.View(dtype, rows, shape.inputs), *weights[next], {},
                                    out.View(dtype, rows, shape.outputs));
            next = (next + 1) % weights.size();
          });
}

// `rows` last positions of a sequence of `context`.
void Attention(benchmark::State& state, const Machine& machine, KvKind kind, int64_t context,
               int64_t rows) {
  constexpr int kPageTokens = 64, kHeads = 16, kWindow = 1024;
  const bool full = kind == KvKind::kFull;
  KvLayerView kv{.dtype = DType::kBFloat16, .kind = kind};
  kv.kv_heads = full ? 1 : 8;
  kv.head_dim = full ? 512 : 256;
  kv.page_tokens = kPageTokens;
  kv.window = full ? 0 : kWindow;
  kv.rotated_dims = full ? 128 : 0;
  const int64_t position_values = int64_t{kv.kv_heads} * (kv.head_dim + kv.key_dims());
  kv.page_bytes = position_values * kPageTokens * 2;
  const int64_t pages = (context + kPageTokens - 1) / kPageTokens;
  const Buffer pool = machine.Fill(pages * kv.page_bytes / 2, DType::kBFloat16);
  const Buffer scale = machine.Fill(kv.head_dim, DType::kFloat32);
  kv.data = pool.data();
  kv.key_scale = scale.View(DType::kFloat32, 1, kv.head_dim);

  std::vector<PageId> table;
  for (int64_t i = 0; i < pages; ++i) table.push_back(PageId(static_cast<int32_t>(i)));
  const std::vector<int32_t> ids(static_cast<size_t>(rows), 0);
  std::vector<int64_t> ends;
  double seen = 0;  // pairs of a query's position and a key's
  for (int64_t r = 0; r < rows; ++r) {
    ends.push_back(context - rows + r + 1);
    seen += static_cast<double>(full ? ends.back() : std::min<int64_t>(ends.back(), kWindow));
  }
  const BatchSequence sequence{.row_count = rows,
                               .first_position = context - rows,
                               .full_pages = table,
                               .sliding_pages = table};
  const auto plan = *machine.kernels->CreatePlan(
      {.rows = rows, .outputs = 0, .sequences = 1, .pages = 2 * pages});
  machine.kernels->Fill({.token_ids = ids,
                         .sliding_visible_end = ends,
                         .sequences = absl::MakeConstSpan(&sequence, 1)},
                        *plan);
  const int64_t width = int64_t{kHeads} * kv.head_dim;
  const Buffer q = machine.Fill(rows * width, DType::kBFloat16);
  const Buffer out = machine.Fill(rows * width, DType::kBFloat16);
  const int64_t reach = full ? context : std::min<int64_t>(context, kWindow + rows - 1);
  Measure(state, static_cast<double>(reach * position_values * 2),
          2.0 * kHeads * seen * 2 * kv.head_dim, machine.peaks.read, machine.peaks.floats, [&] {
            machine.kernels->Attention(*plan, q.View(DType::kBFloat16, rows, width), kv,
                                       out.View(DType::kBFloat16, rows, width));
          });
}

void RegisterAll(const Machine& machine) {
  const auto add = [&](const std::string& name, auto run) {
#ifndef __clang_analyzer__  // which does not see that the library keeps what it makes here
    benchmark::RegisterBenchmark(absl::StrCat(machine.isa, "/", name).c_str(), run)
        ->Unit(benchmark::kMicrosecond)
        ->UseRealTime();
#endif
  };
  for (const LinearShape& shape : kLinearShapes) {
    for (const DType dtype : {DType::kBFloat16, DType::kFloat32}) {
      for (const int64_t rows : {1, 2, 5, 8, 64, 512}) {
        add(absl::StrCat("linear/", shape.name, "/", DTypeName(dtype), "/rows:", rows),
            [&machine, &shape, dtype, rows](benchmark::State& state) {
              Linear(state, machine, shape, dtype, rows);
            });
      }
    }
  }
  for (const KvKind kind : {KvKind::kSliding, KvKind::kFull}) {
    for (const int64_t context : {1024, 2048, 8192, 32768}) {
      if (kind == KvKind::kSliding && context > 2048) continue;
      for (const int64_t rows : {1, 5, 512}) {
        add(absl::StrCat("attention/", kind == KvKind::kFull ? "full" : "sliding",
                         "/context:", context, "/rows:", rows),
            [&machine, kind, context, rows](benchmark::State& state) {
              Attention(state, machine, kind, context, rows);
            });
      }
    }
  }
}

int Main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  const std::vector<std::string> isas = SupportedCpuIsas();
  std::vector<std::unique_ptr<Machine>> machines;
  for (const CpuProbe* probe : {&Avx2Probe(), &Avx512Probe(), &Avx512BFloat16Probe()}) {
    if (std::find(isas.begin(), isas.end(), probe->isa) == isas.end()) continue;
    const Machine& machine = *machines.emplace_back(std::make_unique<Machine>(*probe));
    std::printf("%-11s %d threads: read %.1f GB/s, float32 %.0f GFLOP/s, bfloat16 %.0f GFLOP/s\n",
                machine.isa.c_str(), cpu::AvailableProcessors(), machine.peaks.read / 1e9,
                machine.peaks.floats / 1e9, machine.peaks.bfloat16 / 1e9);
    RegisterAll(machine);
  }
  std::fflush(stdout);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace cleave::bench

int main(int argc, char** argv) { return cleave::bench::Main(argc, argv); }
