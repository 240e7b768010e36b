// The head network's field (5, height, width), laid over map and canvas: the logarithm of the gain
// of red, green and blue, then the way (x, y). It is turned while it is coarse, a cell for 4 x 4
// pixels of the part that it covers, and then stretched to every pixel.

// The planes' values at a spot, after `cell` made them what is to be laid over; borders go on.
#define TURNED(cell)                                                                     \
    mixed_float(cell(clamped(spot.y, height) * width + clamped(spot.x, width)),          \
                cell(clamped(spot.y, height) * width + clamped(spot.x + 1, width)),      \
                cell(clamped(spot.y + 1, height) * width + clamped(spot.x, width)),      \
                cell(clamped(spot.y + 1, height) * width + clamped(spot.x + 1, width)), spot)

// An item is a cell of `turned` (rows, columns, 2): the way there, times `movable` (height, width).
// The matrix sends it to the field.
extern "C" __global__ void turn_ways(int columns, int rows, const float *__restrict__ field,
                                     const float *__restrict__ movable, int width, int height,
                                     double a, double b, double tx, double c, double d, double ty,
                                     float *__restrict__ turned) {
    ITEM_OR_RETURN(x, y);
    const Spot spot = spot_under(x, y, a, b, tx, c, d, ty);
    for (int k = 0; k < 2; ++k) {
        const float *plane = field + (3 + k) * width * height;
#define WAY(at) (plane[at] * movable[at])
        turned[(y * columns + x) * 2 + k] = TURNED(WAY);
#undef WAY
    }
}

// An item is a cell of `turned` (rows, columns, 3): the gain there. Otherwise as turn_ways.
extern "C" __global__ void turn_gains(int columns, int rows, const float *__restrict__ field,
                                      int width, int height, double a, double b, double tx,
                                      double c, double d, double ty, float *__restrict__ turned) {
    ITEM_OR_RETURN(x, y);
    const Spot spot = spot_under(x, y, a, b, tx, c, d, ty);
    for (int k = 0; k < 3; ++k) {
        const float *plane = field + k * width * height;
#define GAIN(at) expf(plane[at])
        turned[(y * columns + x) * 3 + k] = TURNED(GAIN);
#undef GAIN
    }
}

#undef TURNED

// A channel of `turned` at a pixel of the part, as cv2.resize to four times the size.
static __device__ inline float stretched(const float *turned, int width, int height, int channels,
                                         int channel, int x, int y) {
    const int across = 2 * x - 3, down = 2 * y - 3;  // from the first cell's centre, in 1/8 cell
    const int left = clamped(across >> 3, width), right = clamped((across >> 3) + 1, width);
    const int top = clamped(down >> 3, height), bottom = clamped((down >> 3) + 1, height);
    const float fx = (float)(across & 7) * 0.125f, fy = (float)(down & 7) * 0.125f;
    const float *cells = turned + channel;
    const float upper = cells[(top * width + left) * channels] * (1 - fx) +
                        cells[(top * width + right) * channels] * fx;
    const float lower = cells[(bottom * width + left) * channels] * (1 - fx) +
                        cells[(bottom * width + right) * channels] * fx;
    return upper * (1 - fy) + lower * fy;
}

// An item is a pixel of the part, which begins at (left, top) of a map with rows of `map_width`:
// its source moves, in place, by what `turned` (height, width, 2) says.
extern "C" __global__ void add_ways(int columns, int rows, const float *__restrict__ turned,
                                    int width, int height, float2 *__restrict__ map, int map_width,
                                    int left, int top) {
    ITEM_OR_RETURN(x, y);
    float2 *source = map + (top + y) * map_width + left + x;
    source->x += stretched(turned, width, height, 2, 0, x, y);
    source->y += stretched(turned, width, height, 2, 1, x, y);
}

// An item is one of `folds` (columns, 2), row and column in a part of the map that begins at
// (left, top) of the part that the field covers: the sources of its `quarters` (columns, 2, 2) move,
// in place. What is covered is part_width x part_height pixels; what is outside it stays.
extern "C" __global__ void add_ways_to_folds(int columns, int rows,
                                             const float *__restrict__ turned, int width,
                                             int height, const int2 *__restrict__ folds,
                                             float2 *__restrict__ quarters, int left, int top,
                                             int part_width, int part_height) {
    ITEM_OR_RETURN(x, y);
    const int row = folds[x].x, column = folds[x].y;
    if (!within(column + left, row + top, part_width, part_height)) return;
    const float along = stretched(turned, width, height, 2, 0, column + left, row + top);
    const float down = stretched(turned, width, height, 2, 1, column + left, row + top);
    for (int k = 0; k < 4; ++k) {
        quarters[4 * x + k].x += along;
        quarters[4 * x + k].y += down;
    }
}

// An item is a pixel of the part, which begins at (left, top) of a canvas with rows of
// `canvas_width`: it is lit anew, in place, by `turned` (height, width, 3); it saturates.
extern "C" __global__ void multiply_gains(int columns, int rows, const float *__restrict__ turned,
                                          int width, int height, uchar4 *__restrict__ canvas,
                                          int canvas_width, int left, int top) {
    ITEM_OR_RETURN(x, y);
    uchar4 *pixel = canvas + (top + y) * canvas_width + left + x;
    uchar4 rgb = *pixel;
    rgb.x = saturated((float)rgb.x * stretched(turned, width, height, 3, 0, x, y));
    rgb.y = saturated((float)rgb.y * stretched(turned, width, height, 3, 1, x, y));
    rgb.z = saturated((float)rgb.z * stretched(turned, width, height, 3, 2, x, y));
    *pixel = rgb;
}

// An item is a number: if one is NaN or infinity, `found` is 1 afterwards, and else as it was.
extern "C" __global__ void find_not_finite(int columns, int rows,
                                           const float *__restrict__ numbers,
                                           int *__restrict__ found) {
    ITEM_OR_RETURN(x, y);
    if (!(fabsf(numbers[y * columns + x]) <= 3.402823466e38f)) *found = 1;
}
