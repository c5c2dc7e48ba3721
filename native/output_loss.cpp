#include "output_loss.h"

#include <algorithm>

#include "engine.h"

namespace stepscan {
namespace {

constexpr long MAX_SCORES = 1 << 19, MIN_ROWS = 48, MAX_ROWS_AT_ONCE = 240;  // rows at a time: 2 MB of scores, if as many fit
constexpr double MIN_TEAM_PRODUCTS = 3e5;
constexpr long LINE = 16;  // floats of a cache line

// A number of cache lines that is odd, so that the rows of a matrix do not all map to one set of a cache.
long odd_lines(long floats) { return (((floats + LINE - 1) / LINE) | 1) * LINE; }

// This member's share of `total`, in whole cache lines.
void share(long total, const Group& group, long* from, long* to) {
  const long lines = (total + LINE - 1) / LINE;
  *from = std::min(total, lines * group.member / group.members * LINE);
  *to = std::min(total, lines * (group.member + 1) / group.members * LINE);
}

}  // namespace

bool output_loss(const OutputLossArgs& a, int threads) {
  for (long r = 0; r < a.rows; r++)
    if (a.target[r] < 0 || a.target[r] >= a.outputs) return false;
  const Kernels& k = kernels();
  const Linear scores_of(a.weight, a.bias, a.inputs, a.outputs);
  const long most = std::min(a.rows, std::clamp(MAX_SCORES / a.outputs, MIN_ROWS, MAX_ROWS_AT_ONCE)), stride = odd_lines(a.outputs);
  const Buffer scores(most * stride), weights(k.column_floats(a.outputs, a.inputs)), inputs(k.column_floats(most, a.inputs));
  Barrier barrier, alone;
  const bool is_small = (double)a.rows * a.inputs * a.outputs < MIN_TEAM_PRODUCTS;
  on_team(is_small ? 1 : threads, [&](int thread, int team) {
    NoDenormals quiet;
    const Group group{&barrier, thread, team}, myself{&alone, 0, 1};
    long from, to;
    share(a.outputs, group, &from, &to);
    k.pack_columns(a.weight, a.outputs, a.inputs, from, to, weights.data());
    group.wait();
    for (long first = 0; first < a.rows; first += most) {
      const long rows = std::min(most, a.rows - first), start = rows * thread / team, end = rows * (thread + 1) / team;
      const float* x = a.x + first * a.inputs;
      const LinearBackArgs back{scores.data(), stride,        rows,      a.inputs, a.outputs, weights.data(),
                                inputs.data(), a.dx + first * a.inputs, a.dweight, a.dbias};
      scores_of.run(RowView::strided(x + start * a.inputs, a.inputs), end - start, RowView::strided(scores.data() + start * stride, stride), myself);
      for (long r = start; r < end; r++)
        k.cross_entropy(scores.data() + r * stride, a.target + first + r, 0, 1, a.outputs, a.smoothing, a.rest + first + r, a.sum + first + r);
      k.linear_back_inputs(back, start, end);
      k.pack_columns(x, rows, a.inputs, start, end, inputs.data());
      group.wait();
      k.linear_back_weights(back, from, to);
      group.wait();
    }
  });
  return true;
}

}  // namespace stepscan
