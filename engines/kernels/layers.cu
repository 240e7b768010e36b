// What is drawn over the warped portrait: eyeballs and the mouth's inside. An item is a pixel of a
// part of the canvas, which begins at (left, top); the canvas has rows of `canvas_width` pixels.

// A texture (height, width) of colour 0..255 and coverage 0..1, which goes on beyond its borders.
static __device__ inline float4 texel(const float4 *texture, int width, int height, double x,
                                      double y) {
    x = fmin(fmax(x, 0.0), width - 1.001);
    y = fmin(fmax(y, 0.0), height - 1.001);
    const int left = (int)x, top = (int)y;
    const float fx = (float)(x - left), fy = (float)(y - top);
    const float4 *upper = texture + top * width + left, *lower = upper + width;
    const float a = (1 - fx) * (1 - fy), b = fx * (1 - fy), c = (1 - fx) * fy, d = fx * fy;
    return make_float4(a * upper[0].x + b * upper[1].x + c * lower[0].x + d * lower[1].x,
                       a * upper[0].y + b * upper[1].y + c * lower[0].y + d * lower[1].y,
                       a * upper[0].z + b * upper[1].z + c * lower[0].z + d * lower[1].z,
                       a * upper[0].w + b * upper[1].w + c * lower[0].w + d * lower[1].w);
}

static __device__ inline unsigned char towards(int old, float inside, float share, float half) {
    return (unsigned char)fminf(fmaxf(old + share * (inside - old) + half, 0.0f), 255.0f);
}

static __device__ inline unsigned char layered(int old, float white, float behind, float iris,
                                               float before) {
    const float inside = old + behind * (white - old);
    return towards(0, inside + before * (iris - inside), 1.0f, 0.5f);
}

// An eye's two layers (2, height, width), white and iris, where lids (rows, columns) are open: shut
// up to 127, wide open at 255, for the iris sooner (`_IRIS_EDGE` of engines/eyes.py). A layer's pixel
// is the matrix times the part's, and its own offset.
extern "C" __global__ void lay_eye(int columns, int rows, const unsigned char *__restrict__ lids,
                                   const float4 *__restrict__ layers, int width, int height,
                                   float a, float b, float c, float d, float white_x, float white_y,
                                   float iris_x, float iris_y, uchar4 *__restrict__ canvas,
                                   int canvas_width, int left, int top) {
    ITEM_OR_RETURN(x, y);
    const float seen = (float)(lids[y * columns + x] * (2.0 / 255) - 1);
    if (seen <= 0) return;
    const double u = (double)a * x + (double)b * y, v = (double)c * x + (double)d * y;
    const float4 white = texel(layers, width, height, u + white_x, v + white_y);
    const float4 iris = texel(layers + width * height, width, height, u + iris_x, v + iris_y);
    uchar4 *pixel = canvas + (top + y) * canvas_width + left + x;
    uchar4 rgb = *pixel;
    const float behind = seen * white.w, before = fminf(seen * 2.5f, 1.0f) * iris.w;
    rgb.x = layered(rgb.x, white.x, behind, iris.x, before);
    rgb.y = layered(rgb.y, white.y, behind, iris.y, before);
    rgb.z = layered(rgb.z, white.z, behind, iris.z, before);
    *pixel = rgb;
}

// A picture (rows, columns, 3) 0..255 by its share (rows, columns) 0..1.
extern "C" __global__ void lay_mouth(int columns, int rows, const float *__restrict__ inside,
                                     const float *__restrict__ share, uchar4 *__restrict__ canvas,
                                     int canvas_width, int left, int top) {
    ITEM_OR_RETURN(x, y);
    const int at = y * columns + x;
    uchar4 *pixel = canvas + (top + y) * canvas_width + left + x;
    uchar4 rgb = *pixel;
    rgb.x = towards(rgb.x, inside[3 * at], share[at], 0.0f);
    rgb.y = towards(rgb.y, inside[3 * at + 1], share[at], 0.0f);
    rgb.z = towards(rgb.z, inside[3 * at + 2], share[at], 0.0f);
    *pixel = rgb;
}
