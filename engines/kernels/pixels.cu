// What the kernels share. A picture is rows of uchar4 (red, green, blue, alpha), a map rows of
// float2 (x, y); the centre of the first pixel is (0, 0).
//
// The first two arguments of every kernel say how many items there are, in columns and rows: a
// thread does one, and threads beyond them do nothing. No thread knows of another.

#define ITEM_OR_RETURN(x, y)                               \
    const int x = (int)(blockIdx.x * blockDim.x + threadIdx.x); \
    const int y = (int)(blockIdx.y * blockDim.y + threadIdx.y); \
    if (x >= columns || y >= rows) return

// As OpenCV does, a place between four pixels is known to 1/32 of a pixel: so the GPU's result is
// the CPU's to the last bit, or next to it.
struct Spot {
    int x, y;    // the upper left of the four
    int fx, fy;  // from there, in 1/32 pixel
};

static __device__ inline Spot spot_of(int x32, int y32) {
    const Spot spot = {x32 >> 5, y32 >> 5, x32 & 31, y32 & 31};
    return spot;
}

// Of the map's (x, y), as cv2.remap.
static __device__ inline Spot spot_at(float2 source) {
    return spot_of(__float2int_rn(source.x * 32.0f), __float2int_rn(source.y * 32.0f));
}

// Where a (2, 3) matrix sends (x, y), as cv2.warpAffine: columns and rows are rounded apart.
static __device__ inline Spot spot_under(int x, int y, double a, double b, double tx, double c,
                                         double d, double ty) {
    const int along = __double2int_rn(a * x * 1024) + __double2int_rn((b * y + tx) * 1024) + 16;
    const int down = __double2int_rn(c * x * 1024) + __double2int_rn((d * y + ty) * 1024) + 16;
    return spot_of(along >> 5, down >> 5);
}

static __device__ inline bool within(int x, int y, int width, int height) {
    return x >= 0 && y >= 0 && x < width && y < height;
}

static __device__ inline int clamped(int value, int count) {
    return max(0, min(value, count - 1));
}

static __device__ inline unsigned char mixed_byte(int a, int b, int c, int d, Spot spot) {
    const int upper = a * (32 - spot.fx) + b * spot.fx;
    const int lower = c * (32 - spot.fx) + d * spot.fx;
    return (unsigned char)((upper * (32 - spot.fy) + lower * spot.fy + 512) >> 10);
}

static __device__ inline uchar4 mixed_pixel(uchar4 a, uchar4 b, uchar4 c, uchar4 d, Spot spot) {
    return make_uchar4(mixed_byte(a.x, b.x, c.x, d.x, spot), mixed_byte(a.y, b.y, c.y, d.y, spot),
                       mixed_byte(a.z, b.z, c.z, d.z, spot), mixed_byte(a.w, b.w, c.w, d.w, spot));
}

static __device__ inline float mixed_float(float a, float b, float c, float d, Spot spot) {
    const float unit = 1.0f / 1024;
    return a * ((float)((32 - spot.fx) * (32 - spot.fy)) * unit) +
           b * ((float)(spot.fx * (32 - spot.fy)) * unit) +
           c * ((float)((32 - spot.fx) * spot.fy) * unit) +
           d * ((float)(spot.fx * spot.fy) * unit);
}

static __device__ inline unsigned char saturated(float value) {
    return (unsigned char)__float2int_rn(fminf(fmaxf(value, 0.0f), 255.0f));
}

static __device__ inline unsigned char saturated_int(int value) {
    return (unsigned char)max(0, min(value, 255));
}
