// The portrait, looked up for the canvas.

// An item is a pixel of the canvas. The map (map_height, map_width) covers a part of it that begins
// at (left, top), and names a place in the picture (height, width) for each of its pixels; a pixel
// outside it, and one whose place is outside the picture, is zero, alpha and all.
extern "C" __global__ void sample(int columns, int rows, const uchar4 *__restrict__ picture,
                                  int width, int height, const float2 *__restrict__ map,
                                  int map_width, int map_height, int left, int top,
                                  uchar4 *__restrict__ canvas) {
    ITEM_OR_RETURN(x, y);
    const uchar4 nothing = make_uchar4(0, 0, 0, 0);
    uchar4 shown = nothing;
    if (within(x - left, y - top, map_width, map_height)) {
        const Spot spot = spot_at(map[(y - top) * map_width + x - left]);
        uchar4 four[4];
        for (int k = 0; k < 4; ++k) {
            const int u = spot.x + k % 2, v = spot.y + k / 2;
            four[k] = within(u, v, width, height) ? picture[v * width + u] : nothing;
        }
        shown = mixed_pixel(four[0], four[1], four[2], four[3], spot);
    }
    canvas[y * columns + x] = shown;
}

// Pixels at folds anew, in place, each from its `quarters` (columns, 2, 2), so that the edge has no
// steps. An item is one of `folds` (columns, 2), row and column in a part of the canvas that begins
// at (left, top). The canvas has rows of `canvas_width` pixels.
extern "C" __global__ void sample_folds(int columns, int rows, const uchar4 *__restrict__ picture,
                                        int width, int height,
                                        const float2 *__restrict__ quarters,
                                        const int2 *__restrict__ folds, int left, int top,
                                        uchar4 *__restrict__ canvas, int canvas_width) {
    ITEM_OR_RETURN(x, y);
    const int row = folds[x].x, column = folds[x].y;
    float red = 0, green = 0, blue = 0, alpha = 0;
    for (int k = 0; k < 4; ++k) {
        const float2 at = quarters[4 * x + k];
        if (!(at.x >= 0 && at.y >= 0 && at.x < width - 1 && at.y < height - 1)) continue;
        const int u = (int)at.x, v = (int)at.y;
        const float fx = at.x - u, fy = at.y - v;
        for (int corner = 0; corner < 4; ++corner) {
            const int along = corner % 2, down = corner / 2;
            const uchar4 pixel = picture[(v + down) * width + u + along];
            const float share =
                (along ? fx : 1 - fx) * (down ? fy : 1 - fy) * (float)pixel.w;
            red += share * pixel.x;
            green += share * pixel.y;
            blue += share * pixel.z;
            alpha += share;
        }
    }
    uchar4 *pixel = canvas + (top + row) * canvas_width + left + column;
    if (alpha > 0) {
        pixel->x = (unsigned char)(red / alpha + 0.5f);
        pixel->y = (unsigned char)(green / alpha + 0.5f);
        pixel->z = (unsigned char)(blue / alpha + 0.5f);
    }
    pixel->w = (unsigned char)(alpha / 4 + 0.5f);
}

// Where the identity's features lie for each cell of a patch, as GridSample takes it. An item is a
// cell of `grid`; the first matrix sends it to the map (map_height, map_width), whose border goes
// on outside, and the second the place named there to the portrait's own patch, of which a pixel is
// `per_pixel` in the grid's measure.
extern "C" __global__ void feature_grid(int columns, int rows, const float2 *__restrict__ map,
                                        int map_width, int map_height, double a, double b,
                                        double tx, double c, double d, double ty, float pa,
                                        float pb, float ptx, float pc, float pd, float pty,
                                        float per_pixel, float2 *__restrict__ grid) {
    ITEM_OR_RETURN(x, y);
    const Spot spot = spot_under(x, y, a, b, tx, c, d, ty);
    const int left = clamped(spot.x, map_width), right = clamped(spot.x + 1, map_width);
    const float2 *upper = map + clamped(spot.y, map_height) * map_width;
    const float2 *lower = map + clamped(spot.y + 1, map_height) * map_width;
    const float u = mixed_float(upper[left].x, upper[right].x, lower[left].x, lower[right].x, spot);
    const float v = mixed_float(upper[left].y, upper[right].y, lower[left].y, lower[right].y, spot);
    float2 *cell = grid + y * columns + x;
    cell->x = fminf(fmaxf((pa * u + pb * v + ptx + 0.5f) * per_pixel - 1, -2.0f), 2.0f);
    cell->y = fminf(fmaxf((pc * u + pd * v + pty + 0.5f) * per_pixel - 1, -2.0f), 2.0f);
}
