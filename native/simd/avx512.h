// Vectors of 16 floats: AVX-512 (F, DQ, BW, VL).

using Vec = __m512;
constexpr int LANES = 16;      // floats per vector
constexpr int REGISTERS = 32;  // vector registers

INLINE Vec zero() { return _mm512_setzero_ps(); }
INLINE Vec set1(float x) { return _mm512_set1_ps(x); }
INLINE Vec load(const float* p) { return _mm512_loadu_ps(p); }
INLINE Vec load(const uint16_t* p) {  // bfloat16
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i*)p)), 16));
}
INLINE void store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
INLINE __mmask16 first_lanes(int n) { return (__mmask16)((1u << n) - 1u); }
INLINE Vec load_part(const float* p, int n) { return _mm512_maskz_loadu_ps(first_lanes(n), p); }
INLINE void store_part(float* p, int n, Vec v) { _mm512_mask_storeu_ps(p, first_lanes(n), v); }
INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
INLINE Vec min(Vec limit, Vec x) { return _mm512_min_ps(limit, x); }  // NaN if x is NaN
INLINE Vec max(Vec limit, Vec x) { return _mm512_max_ps(limit, x); }  // NaN if x is NaN
INLINE Vec round(Vec x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE Vec scale(Vec x, Vec n) { return _mm512_scalef_ps(x, n); }  // x · 2^n, n an integer
INLINE Vec abs(Vec x) { return _mm512_abs_ps(x); }
INLINE Vec copysign(Vec x, Vec sign) { return _mm512_or_ps(x, _mm512_and_ps(sign, _mm512_set1_ps(-0.0f))); }  // x ≥ 0
INLINE Vec where_positive(Vec x, Vec v) { return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, zero(), _CMP_GT_OQ), v); }
INLINE Vec sqrt(Vec x) { return _mm512_sqrt_ps(x); }

// rows r[i][0 … 15] become columns
INLINE void transpose(Vec r[LANES]) {
  Vec t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    r[i] = (Vec)_mm512_unpacklo_pd((__m512d)t[i], (__m512d)t[i + 2]);
    r[i + 1] = (Vec)_mm512_unpackhi_pd((__m512d)t[i], (__m512d)t[i + 2]);
    r[i + 2] = (Vec)_mm512_unpacklo_pd((__m512d)t[i + 1], (__m512d)t[i + 3]);
    r[i + 3] = (Vec)_mm512_unpackhi_pd((__m512d)t[i + 1], (__m512d)t[i + 3]);
  }
  for (int q = 0; q < 4; q++) {
    t[q] = _mm512_shuffle_f32x4(r[q], r[q + 4], 0x88);
    t[q + 4] = _mm512_shuffle_f32x4(r[q], r[q + 4], 0xdd);
    t[q + 8] = _mm512_shuffle_f32x4(r[q + 8], r[q + 12], 0x88);
    t[q + 12] = _mm512_shuffle_f32x4(r[q + 8], r[q + 12], 0xdd);
  }
  for (int q = 0; q < 8; q++) {
    r[q] = _mm512_shuffle_f32x4(t[q], t[q + 8], 0x88);
    r[q + 8] = _mm512_shuffle_f32x4(t[q], t[q + 8], 0xdd);
  }
}

using IntVec = __m512i;  // 16 32-bit integers, or 64 bytes
INLINE IntVec zero_int() { return _mm512_setzero_si512(); }
INLINE IntVec load(const int32_t* p) { return _mm512_loadu_si512(p); }
INLINE IntVec broadcast_4_bytes(const uint8_t* p) { int x; __builtin_memcpy(&x, p, 4); return _mm512_set1_epi32(x); }
INLINE Vec as_floats(IntVec x) { return _mm512_cvtepi32_ps(x); }
// sum + Σ of four products, bytes 0 … 255 of a and -128 … 127 of b
INLINE IntVec dot4(IntVec sum, IntVec a, IntVec b) {
  IntVec even = _mm512_madd_epi16(_mm512_and_si512(a, _mm512_set1_epi16(255)), _mm512_srai_epi16(_mm512_slli_epi16(b, 8), 8));
  IntVec odd = _mm512_madd_epi16(_mm512_srli_epi16(a, 8), _mm512_srai_epi16(b, 8));
  return _mm512_add_epi32(sum, _mm512_add_epi32(even, odd));
}
#define STEPSCAN_HAS_DOT_INSTRUCTION __attribute__((target("avx512vnni")))
INLINE STEPSCAN_HAS_DOT_INSTRUCTION IntVec dot4_fast(IntVec sum, IntVec a, IntVec b) { return _mm512_dpbusd_epi32(sum, a, b); }
INLINE bool has_dot_instruction() { return HAS_VNNI; }
// integers -32767 … 32767, plus 32768, as [4 high bytes, 4 low bytes] for each four
INLINE void store_codes(Vec v, uint8_t* codes) {
  const __m512i order = _mm512_broadcast_i32x4(_mm_setr_epi8(1, 5, 9, 13, 0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1));
  __m512i u = _mm512_add_epi32(_mm512_cvtps_epi32(v), _mm512_set1_epi32(32768));
  __m512i bytes = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 2, 4, 6, 0, 2, 4, 6), _mm512_shuffle_epi8(u, order));
  _mm256_storeu_si256((__m256i*)codes, _mm512_castsi512_si256(bytes));
}
