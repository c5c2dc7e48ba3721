// Vectors of 16 floats: AVX-512 (F, DQ, BW, VL).

using Vec = __m512;
constexpr int LANES = 16;      // floats a vector
constexpr int REGISTERS = 32;  // vector registers

INLINE Vec zero() { return _mm512_setzero_ps(); }
INLINE Vec set1(float x) { return _mm512_set1_ps(x); }
INLINE Vec load(const float* p) { return _mm512_loadu_ps(p); }
INLINE void store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
INLINE __mmask16 first(int n) { return (__mmask16)((1u << n) - 1u); }
INLINE Vec load_part(const float* p, int n) { return _mm512_maskz_loadu_ps(first(n), p); }
INLINE void store_part(float* p, int n, Vec v) { _mm512_mask_storeu_ps(p, first(n), v); }
INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
INLINE Vec least(Vec limit, Vec x) { return _mm512_min_ps(limit, x); }     // NaN in x stays
INLINE Vec greatest(Vec limit, Vec x) { return _mm512_max_ps(limit, x); }  // NaN in x stays
INLINE Vec round(Vec x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE Vec scale(Vec x, Vec n) { return _mm512_scalef_ps(x, n); }  // x · 2^n, n whole
INLINE Vec magnitude(Vec x) { return _mm512_abs_ps(x); }
INLINE Vec with_sign(Vec x, Vec sign) { return _mm512_or_ps(x, _mm512_and_ps(sign, _mm512_set1_ps(-0.0f))); }
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
