// Vectors of 8 floats: AVX2 with FMA.

using Vec = __m256;
constexpr int LANES = 8;
constexpr int REGISTERS = 16;

INLINE Vec zero() { return _mm256_setzero_ps(); }
INLINE Vec set1(float x) { return _mm256_set1_ps(x); }
INLINE Vec load(const float* p) { return _mm256_loadu_ps(p); }
INLINE Vec load(const uint16_t* p) {  // bfloat16
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i*)p)), 16));
}
INLINE void store(float* p, Vec v) { _mm256_storeu_ps(p, v); }
INLINE __m256i first_lanes(int n) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
INLINE Vec load_part(const float* p, int n) { return _mm256_maskload_ps(p, first_lanes(n)); }
INLINE void store_part(float* p, int n, Vec v) {
  if (n == LANES) store(p, v);  // a masked store takes 12 cycles or more on AMD's processors
  else _mm256_maskstore_ps(p, first_lanes(n), v);
}
INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
INLINE Vec min(Vec limit, Vec x) { return _mm256_min_ps(limit, x); }
INLINE Vec max(Vec limit, Vec x) { return _mm256_max_ps(limit, x); }
INLINE Vec round(Vec x) { return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE Vec scale(Vec x, Vec n) {
  __m256i exponent = _mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127));
  return x * _mm256_castsi256_ps(_mm256_slli_epi32(exponent, 23));
}
INLINE Vec abs(Vec x) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), x); }
INLINE Vec copysign(Vec x, Vec sign) { return _mm256_or_ps(x, _mm256_and_ps(sign, _mm256_set1_ps(-0.0f))); }
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

using IntVec = __m256i;  // 8 32-bit integers, or 32 bytes
INLINE IntVec zero_int() { return _mm256_setzero_si256(); }
INLINE IntVec load(const int32_t* p) { return _mm256_loadu_si256((const __m256i*)p); }
INLINE IntVec broadcast_4_bytes(const uint8_t* p) { int x; __builtin_memcpy(&x, p, 4); return _mm256_set1_epi32(x); }
INLINE Vec as_floats(IntVec x) { return _mm256_cvtepi32_ps(x); }
// sum + Σ of four products, bytes 0 … 255 of a and -128 … 127 of b
INLINE IntVec dot4(IntVec sum, IntVec a, IntVec b) {
  IntVec even = _mm256_madd_epi16(_mm256_and_si256(a, _mm256_set1_epi16(255)), _mm256_srai_epi16(_mm256_slli_epi16(b, 8), 8));
  IntVec odd = _mm256_madd_epi16(_mm256_srli_epi16(a, 8), _mm256_srai_epi16(b, 8));
  return _mm256_add_epi32(sum, _mm256_add_epi32(even, odd));
}
// integers -32767 … 32767, plus 32768, as [4 high bytes, 4 low bytes] for each four
INLINE void store_codes(Vec v, uint8_t* codes) {
  const __m256i order = _mm256_broadcastsi128_si256(_mm_setr_epi8(1, 5, 9, 13, 0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1));
  __m256i u = _mm256_add_epi32(_mm256_cvtps_epi32(v), _mm256_set1_epi32(32768));
  __m256i bytes = _mm256_permute4x64_epi64(_mm256_shuffle_epi8(u, order), 0x08);
  _mm_storeu_si128((__m128i*)codes, _mm256_castsi256_si128(bytes));
}
