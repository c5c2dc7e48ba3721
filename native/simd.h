// SIMD vectors of the instruction set that this source is compiled for: STEPSCAN_AVX512, STEPSCAN_AVX2 or neither.
//
// The kernels are one source, compiled once per instruction set, each in its own namespace (ISA). They use no inline function
// of the standard library, since the linker might keep a copy that an older processor cannot run. They are compiled without
// floating-point contraction, so that an expression is rounded the same way wherever it is inlined.
#pragma once
#include <cstddef>
#include <cstdint>

#if defined(STEPSCAN_AVX512) || defined(STEPSCAN_AVX2)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

// Keeps a vector in a register: compilers otherwise reload it from memory for each use.
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
