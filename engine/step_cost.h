// What a step costs on this machine, measured while it runs: seconds as a function of its rows.
#pragma once

#include <cstdint>
#include <vector>

namespace cleave {

// One thread uses it; takes all its memory at once.
class StepCost {
 public:
  explicit StepCost(int64_t rows_max);

  // A step of `rows` (at least 1; more than rows_max are not kept) took `seconds`.
  void Measured(int64_t rows, double seconds);

  // The expected cost of a step of `rows`, 0 for no rows or while nothing has been measured. Never
  // falls with more rows, whatever single measurements say (isotonic regression). Row counts not
  // measured lately are seen kindly, so that they get tried: on a straight line between measured
  // ones, the smallest in proportion, the largest as cheap as the largest measured one.
  double Seconds(int64_t rows) const;

 private:
  struct Place {
    double seconds = 0;  // a mean in which new measurements count more, and hiccups less
    int weight = 0;      // measurements, at most kWeightMax; 0: unknown
    int64_t last = 0;    // when, counted in measurements of any row count
  };
  void Fit();

  std::vector<Place> places_;   // [rows_max + 1]
  std::vector<double> fitted_;  // [rows_max + 1]
  // Scratch of Fit: runs of places that share one level.
  struct Level {
    double seconds = 0;
    double weight = 0;
    int64_t first = 0;  // row count
    int64_t last = 0;
  };
  std::vector<Level> levels_;
  int64_t measurements_ = 0;
};

}  // namespace cleave
