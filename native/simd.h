// The vectors of the instruction set that this source is being compiled for: STEPSCAN_AVX512, STEPSCAN_AVX2 or neither.
//
// Kernels are one source compiled once for each set, in a namespace of its own (ISA). They use no inline function of the
// standard library, since the linker might keep the copy that an old processor can't run, and are compiled without
// contraction, so that an expression is rounded in the same way wherever it stands.
#pragma once
#include <cstddef>
#include <cstdint>

#if defined(STEPSCAN_AVX512) || defined(STEPSCAN_AVX2)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

// Keeps a vector in a register: a compiler that may read it from memory again, once for each use, does so.
#if defined(STEPSCAN_AVX512)
#define KEEP(x) asm volatile("" : "+v"(x))
#elif defined(__x86_64__)
#define KEEP(x) asm volatile("" : "+x"(x))
#else
#define KEEP(x) asm volatile("" : "+w"(x))
#endif

#define INLINE static inline __attribute__((always_inline))

#if defined(STEPSCAN_AVX512)
#define ISA avx512
#define ISA_HEADER "simd/avx512.h"
#elif defined(STEPSCAN_AVX2)
#define ISA avx2
#define ISA_HEADER "simd/avx2.h"
#else
#define ISA plain
#define ISA_HEADER "simd/plain.h"
#endif

namespace stepscan {
extern const bool HAS_VNNI;  // engine.cpp: whether this processor has vpdpbusd
namespace ISA {
#include ISA_HEADER
}  // namespace ISA
}  // namespace stepscan
