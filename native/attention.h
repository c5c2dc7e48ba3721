// Self-attention (Vaswani et al. 2017) of one head: out_t = Σ_s softmax_s(q_t · k_s) v_s, over the positions s that t sees.
//
// One order of sums, by absolute position, whatever the cache holds and however a sequence is cut:
//   q_t · k_s: the numbers i of a head with i ≡ j for each lane j of a vector are one chain of multiply-adds, and the chains are
//   added in the order of j. The positions are divided into blocks of KEYS, the first from 0 on. A query takes the blocks that it sees from the oldest to the newest, and keeps m, l and o (online softmax,
//   Milakov and Gimelshein 2018):
//     m' = max(m, the block's scores),  c = e^{m − m'},  p_s = e^{q_t · k_s − m'},
//     l' = l c + p, a vector whose lane j takes the positions s ≡ j in order;   o' = o c, and then a chain of o' + p_s v_s in order of s
//   and finally out_t = o / Σ l. What a query does not see takes no part, not even as a zero: NaN there changes nothing.
// A scan computes tiles of queries together and a step one query, with the same arithmetic for each.
#pragma once
#include "kernels.h"
#include "simd.h"

namespace stepscan {
namespace ISA {

size_t head_floats(const HeadAttention& a);
void head_scan(const HeadAttention& a, float* scratch);
void heads_step(const HeadAttention& a, long heads);

}  // namespace ISA
}  // namespace stepscan
