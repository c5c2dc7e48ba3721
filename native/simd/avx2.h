// Vectors of 8 floats: AVX2 with FMA.

using Vec = __m256;
constexpr int LANES = 8;
constexpr int REGISTERS = 16;

INLINE Vec zero() { return _mm256_setzero_ps(); }
INLINE Vec set1(float x) { return _mm256_set1_ps(x); }
INLINE Vec load(const float* p) { return _mm256_loadu_ps(p); }
INLINE void store(float* p, Vec v) { _mm256_storeu_ps(p, v); }
INLINE __m256i first(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
INLINE Vec load_part(const float* p, int n) { return _mm256_maskload_ps(p, first(n)); }
INLINE void store_part(float* p, int n, Vec v) { _mm256_maskstore_ps(p, first(n), v); }
INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
INLINE Vec least(Vec limit, Vec x) { return _mm256_min_ps(limit, x); }
INLINE Vec greatest(Vec limit, Vec x) { return _mm256_max_ps(limit, x); }
INLINE Vec round(Vec x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE Vec scale(Vec x, Vec n) {
  __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
  return x * _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
}
INLINE Vec magnitude(Vec x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }
INLINE Vec with_sign(Vec x, Vec sign) { return _mm256_or_ps(x, _mm256_and_ps(sign, _mm256_set1_ps(-0.0f))); }
INLINE Vec where_positive(Vec x, Vec v) { return _mm256_and_ps(_mm256_cmp_ps(x, zero(), _CMP_GT_OQ), v); }
INLINE Vec sqrt(Vec x) { return _mm256_sqrt_ps(x); }

INLINE void transpose(Vec r[LANES]) {
  Vec t[8];
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
  for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
    r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
  for (int i = 0; i < 4; i++) {
    t[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
    t[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
  }
  for (int i = 0; i < 8; i++) r[i] = t[i];
}
