// The mesh outside of the face: which triangle shows at a pixel, and where that is in the portrait.
// Triangles (count, 3) hide those before them. The same lines in the same precision as in raster.py,
// so that neighbours leave no gap, and the same pixels belong to the same triangles.

static __device__ inline double slope(float2 a, float2 b) {
    return ((double)b.x - a.x) / ((double)b.y - a.y);
}

// An item is a row of the map, of `width` pixels, and a triangle: `shown` (columns, width), one for
// each pixel, becomes the greatest number of a triangle there, counted from 1.
extern "C" __global__ void cover(int columns, int rows, const float2 *__restrict__ moved, int width,
                                 int *shown) {
    ITEM_OR_RETURN(x, y);
    const int row = x;
    float2 a = moved[3 * y], b = moved[3 * y + 1], c = moved[3 * y + 2], swap;
    if (a.y > b.y) { swap = a; a = b; b = swap; }
    if (b.y > c.y) { swap = b; b = c; c = swap; }
    if (a.y > b.y) { swap = a; a = b; b = swap; }
    if (!(row >= a.y && row < c.y)) return;
    const double one = a.x + slope(a, c) * ((double)row - a.y);
    const double other = row < b.y ? a.x + slope(a, b) * ((double)row - a.y)
                                   : b.x + slope(b, c) * ((double)row - b.y);
    const int first = (int)ceil(fmax(fmin(one, other), 0.0));
    const int end = (int)ceil(fmin(fmax(one, other), (double)width));
    for (int column = first; column < end; ++column) atomicMax(shown + row * width + column, y + 1);
}

// An item is a pixel of the map `xy` (rows, columns, 2): where the triangle that is shown there has
// it in `rest`, or -1e5 where none is. `shown` is 0 afterwards. One with next to no area, or
// squeezed beyond `steepest`, shows its own middle.
extern "C" __global__ void draw_sources(int columns, int rows, int *__restrict__ shown,
                                        const float2 *__restrict__ moved,
                                        const float2 *__restrict__ rest, double smallest,
                                        double steepest, float2 *__restrict__ xy) {
    ITEM_OR_RETURN(x, y);
    const int at = y * columns + x, triangle = shown[at] - 1;
    shown[at] = 0;
    if (triangle < 0) {
        xy[at].x = xy[at].y = -1e5f;
        return;
    }
    const float2 a = moved[3 * triangle], b = moved[3 * triangle + 1], c = moved[3 * triangle + 2];
    const float2 p = rest[3 * triangle], q = rest[3 * triangle + 1], r = rest[3 * triangle + 2];
    const float area = (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x);
    float ux = ((q.x - p.x) * (c.y - a.y) - (r.x - p.x) * (b.y - a.y)) / area;
    float uy = ((r.x - p.x) * (b.x - a.x) - (q.x - p.x) * (c.x - a.x)) / area;
    float vx = ((q.y - p.y) * (c.y - a.y) - (r.y - p.y) * (b.y - a.y)) / area;
    float vy = ((r.y - p.y) * (b.x - a.x) - (q.y - p.y) * (c.x - a.x)) / area;
    const float most = fmaxf(fmaxf(fabsf(ux), fabsf(uy)), fmaxf(fabsf(vx), fabsf(vy)));
    if (fabsf(area) < smallest || !(most < steepest)) ux = uy = vx = vy = 0.0f;
    const double middle_x = (double)(a.x + b.x + c.x) / 3, middle_y = (double)(a.y + b.y + c.y) / 3;
    const float uc = (float)((double)(p.x + q.x + r.x) / 3 - ux * middle_x - uy * middle_y);
    const float vc = (float)((double)(p.y + q.y + r.y) / 3 - vx * middle_x - vy * middle_y);
    xy[at].x = ux * (float)x + (uy * (float)y + uc);
    xy[at].y = vx * (float)x + (vy * (float)y + vc);
}

// An item is a pixel of the face's part (rows, columns, 2) of a map with rows of `width`, which
// begins at (left, top) there.
extern "C" __global__ void lay_face(int columns, int rows, const float2 *__restrict__ part,
                                    float2 *__restrict__ xy, int width, int left, int top) {
    ITEM_OR_RETURN(x, y);
    xy[(top + y) * width + left + x] = part[y * columns + x];
}
