// Vectors of 4 floats in the compiler's vector extension: any processor (SSE2 on x86-64, NEON on ARM).

typedef float Vec __attribute__((vector_size(16)));
typedef int Int __attribute__((vector_size(16)));
constexpr int LANES = 4;
#ifdef __ARM_NEON
constexpr int REGISTERS = 32;
INLINE Vec fma(Vec a, Vec b, Vec c) { return (Vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b); }
#else
constexpr int REGISTERS = 16;
INLINE Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }  // two roundings, the same on every processor
#endif

INLINE Vec zero() { return Vec{0, 0, 0, 0}; }
INLINE Vec set1(float x) { return Vec{x, x, x, x}; }
INLINE Vec load(const float* p) { Vec v; __builtin_memcpy(&v, p, sizeof v); return v; }
INLINE Vec load(const uint16_t* p) {  // bfloat16
  Int v = {p[0], p[1], p[2], p[3]};
  return (Vec)(v << 16);
}
INLINE void store(float* p, Vec v) { __builtin_memcpy(p, &v, sizeof v); }
INLINE Vec load_part(const float* p, int n) {
  Vec v = zero();
  for (int i = 0; i < n; i++) v[i] = p[i];
  return v;
}
INLINE void store_part(float* p, int n, Vec v) { for (int i = 0; i < n; i++) p[i] = v[i]; }
INLINE Vec select(Int mask, Vec yes, Vec no) { return (Vec)((mask & (Int)yes) | (~mask & (Int)no)); }
INLINE Vec min(Vec limit, Vec x) { return select(limit < x, limit, x); }
INLINE Vec max(Vec limit, Vec x) { return select(limit > x, limit, x); }
INLINE Vec round(Vec x) { const Vec magic = set1(12582912.f); return (x + magic) - magic; }  // |x| < 2^22
INLINE Vec scale(Vec x, Vec n) { return x * (Vec)((__builtin_convertvector(n, Int) + 127) << 23); }
INLINE Vec abs(Vec x) { return (Vec)((Int)x & 0x7fffffff); }
INLINE Vec copysign(Vec x, Vec sign) { return (Vec)((Int)x | ((Int)sign & (Int)set1(-0.0f))); }
INLINE Vec where_positive(Vec x, Vec v) { return (Vec)((x > zero()) & (Int)v); }
INLINE Vec sqrt(Vec x) {
  for (int i = 0; i < LANES; i++) x[i] = __builtin_sqrtf(x[i]);
  return x;
}
INLINE void transpose(Vec r[LANES]) {
  for (int i = 0; i < LANES; i++)
    for (int j = 0; j < i; j++) { float held = r[i][j]; r[i][j] = r[j][i]; r[j][i] = held; }
}

typedef Int IntVec;  // 4 32-bit integers, or 16 bytes
INLINE IntVec zero_int() { return IntVec{0, 0, 0, 0}; }
INLINE IntVec load(const int32_t* p) { IntVec v; __builtin_memcpy(&v, p, sizeof v); return v; }
INLINE IntVec broadcast_4_bytes(const uint8_t* p) { int x; __builtin_memcpy(&x, p, 4); return IntVec{x, x, x, x}; }
INLINE Vec as_floats(IntVec x) { return __builtin_convertvector(x, Vec); }
// sum + Σ of four products, bytes 0 … 255 of a and -128 … 127 of b
INLINE IntVec dot4(IntVec sum, IntVec a, IntVec b) {
  for (int byte = 0; byte < 4; byte++) sum += ((a >> (8 * byte)) & 255) * ((b << (24 - 8 * byte)) >> 24);
  return sum;
}
// integers -32767 … 32767, plus 32768, as [4 high bytes, 4 low bytes] for each four
INLINE void store_codes(Vec v, uint8_t* codes) {
  IntVec u = __builtin_convertvector(v, IntVec) + 32768;
  for (int i = 0; i < 4; i++) codes[i] = (uint8_t)(u[i] >> 8), codes[4 + i] = (uint8_t)u[i];
}
