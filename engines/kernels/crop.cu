// Patches of a face, cut out for the network and laid over the canvas again.

// What a patch shows of a canvas (height, width), over mid grey where nobody is, as the network
// takes it. An item is a pixel of the patch; the matrix sends it to the canvas, whose border goes
// on outside.
//   seen    (3, rows, columns) 0..1
//   person  (rows, columns) 0..1, the canvas' alpha
extern "C" __global__ void crop(int columns, int rows, const uchar4 *__restrict__ canvas, int width,
                                int height, double a, double b, double tx, double c, double d,
                                double ty, float *__restrict__ seen, float *__restrict__ person) {
    ITEM_OR_RETURN(x, y);
    const Spot spot = spot_under(x, y, a, b, tx, c, d, ty);
    const int left = clamped(spot.x, width), right = clamped(spot.x + 1, width);
    const uchar4 *upper = canvas + clamped(spot.y, height) * width;
    const uchar4 *lower = canvas + clamped(spot.y + 1, height) * width;
    const uchar4 cut = mixed_pixel(upper[left], upper[right], lower[left], lower[right], spot);
    const int area = columns * rows, at = y * columns + x, alpha = cut.w;
    const int grey = 128 * (255 - alpha) + 127;
    const float unit = 1.0f / 255;
    seen[at] = (float)((cut.x * alpha + grey) / 255) * unit;
    seen[at + area] = (float)((cut.y * alpha + grey) / 255) * unit;
    seen[at + 2 * area] = (float)((cut.z * alpha + grey) / 255) * unit;
    person[at] = (float)alpha * unit;
}

// A patch's plane (side, side) at a spot; `beyond` is its value outside.
static __device__ inline float laid_over(const float *plane, int side, float beyond, Spot spot) {
    float value[4];
    for (int k = 0; k < 4; ++k) {
        const int x = spot.x + k % 2, y = spot.y + k / 2;
        value[k] = within(x, y, side, side) ? plane[y * side + x] : beyond;
    }
    return mixed_float(value[0], value[1], value[2], value[3], spot);
}

// Adds a share of a change (3, side, side) of full scale 1 to a canvas of rows of `width` pixels,
// in place; it saturates. An item is a pixel of the box at (left, top) that the patch may reach;
// the matrix sends it to the patch.
extern "C" __global__ void paint_add(int columns, int rows, uchar4 *__restrict__ canvas, int width,
                                     int left, int top, const float *__restrict__ change, int side,
                                     float share, double a, double b, double tx, double c, double d,
                                     double ty) {
    ITEM_OR_RETURN(x, y);
    const Spot spot = spot_under(x, y, a, b, tx, c, d, ty);
    const int area = side * side;
    const float scale = 255.0f * share;
    uchar4 *pixel = canvas + (top + y) * width + left + x;
    uchar4 rgb = *pixel;
    rgb.x = saturated((float)rgb.x + laid_over(change, side, 0.0f, spot) * scale);
    rgb.y = saturated((float)rgb.y + laid_over(change + area, side, 0.0f, spot) * scale);
    rgb.z = saturated((float)rgb.z + laid_over(change + 2 * area, side, 0.0f, spot) * scale);
    *pixel = rgb;
}

// Multiplies a canvas by a gain (side, side), in place; it saturates. Otherwise as paint_add.
extern "C" __global__ void paint_light(int columns, int rows, uchar4 *__restrict__ canvas,
                                       int width, int left, int top,
                                       const float *__restrict__ gain, int side, double a, double b,
                                       double tx, double c, double d, double ty) {
    ITEM_OR_RETURN(x, y);
    const Spot spot = spot_under(x, y, a, b, tx, c, d, ty);
    const float here = laid_over(gain, side, 1.0f, spot);
    uchar4 *pixel = canvas + (top + y) * width + left + x;
    uchar4 rgb = *pixel;
    rgb.x = saturated((float)rgb.x * here);
    rgb.y = saturated((float)rgb.y * here);
    rgb.z = saturated((float)rgb.z * here);
    *pixel = rgb;
}

// A generated picture's plane (side, side) of full scale 1 at a spot, in whole grey levels; borders
// go on.
static __device__ inline int generated(const float *plane, int side, Spot spot) {
    int level[4];
    for (int k = 0; k < 4; ++k) {
        const int at = clamped(spot.y + k / 2, side) * side + clamped(spot.x + k % 2, side);
        level[k] = saturated(fminf(fmaxf(plane[at], 0.0f), 1.0f) * 255.0f);
    }
    return mixed_byte(level[0], level[1], level[2], level[3], spot);
}

// Fades a generated picture (3, side, side) into a canvas of rows of `width` pixels, in place, by
// `mask` (rows, columns). An item is a pixel of the mask, which begins at (left, top); the matrix
// sends it to the picture.
extern "C" __global__ void paste(int columns, int rows, const float *__restrict__ picture, int side,
                                 double a, double b, double tx, double c, double d, double ty,
                                 const float *__restrict__ mask, uchar4 *__restrict__ canvas,
                                 int width, int left, int top) {
    ITEM_OR_RETURN(x, y);
    const Spot spot = spot_under(x, y, a, b, tx, c, d, ty);
    const int area = side * side;
    const float ours = mask[y * columns + x], theirs = 1.0f - ours, sum = ours + theirs + 1e-5f;
    uchar4 *pixel = canvas + (top + y) * width + left + x;
    uchar4 rgb = *pixel;
    const float red = (float)generated(picture, side, spot);
    const float green = (float)generated(picture + area, side, spot);
    const float blue = (float)generated(picture + 2 * area, side, spot);
    rgb.x = saturated((red * ours + (float)rgb.x * theirs) / sum);
    rgb.y = saturated((green * ours + (float)rgb.y * theirs) / sum);
    rgb.z = saturated((blue * ours + (float)rgb.z * theirs) / sum);
    *pixel = rgb;
}
