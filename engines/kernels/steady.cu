// What does not move is held over from the picture before, within a box at (left, top) of pictures
// with rows of `width` pixels. An item is a pixel of the box.

// `change` (rows, columns) is by how many grey levels two pictures differ, as OpenCV weighs colours.
extern "C" __global__ void find_change(int columns, int rows, const uchar4 *__restrict__ picture,
                                       const uchar4 *__restrict__ before, int width, int left,
                                       int top, unsigned char *__restrict__ change) {
    ITEM_OR_RETURN(x, y);
    const int at = (top + y) * width + left + x;
    const uchar4 now = picture[at], old = before[at];
    change[y * columns + x] =
        (unsigned char)((9798 * abs(now.x - old.x) + 19235 * abs(now.y - old.y) +
                         3735 * abs(now.z - old.z) + (1 << 14)) >> 15);
}

static __device__ inline int reflected(int at, int count) {
    while (count > 1 && (at < 0 || at >= count)) at = at < 0 ? -at : 2 * count - 2 - at;
    return count > 1 ? at : 0;
}

static __device__ inline float faded(int at, int count, int fade) {
    return fminf((float)min(at + 1, count - at) / (float)fade, 1.0f);
}

// Mixes what was before into the picture, in place, where little changes. `window` pixels of
// `change` are averaged along x and y; from `changes` levels on a pixel is all new, and at least
// `least` of it always is; at the box's border the mixing fades over `fade` pixels.
extern "C" __global__ void hold(int columns, int rows, const unsigned char *__restrict__ change,
                                const uchar4 *__restrict__ before, int width, int left, int top,
                                int window, int fade, double changes, double least,
                                uchar4 *__restrict__ picture) {
    ITEM_OR_RETURN(x, y);
    int sum = 0;
    for (int down = -(window / 2); down <= window / 2; ++down) {
        const unsigned char *row = change + reflected(y + down, rows) * columns;
        for (int along = -(window / 2); along <= window / 2; ++along)
            sum += row[reflected(x + along, columns)];
    }
    const int area = window * window, mean = (sum + area / 2) / area;
    const float held = (float)fmin(fmax(1 - mean / changes, 0.0), 1 - least);
    const float share = held * faded(y, rows, fade) * faded(x, columns, fade);
    const int at = (top + y) * width + left + x;
    const uchar4 old = before[at];
    uchar4 now = picture[at];
    now.x = (unsigned char)((float)now.x + share * (float)(old.x - now.x) + 0.5f);
    now.y = (unsigned char)((float)now.y + share * (float)(old.y - now.y) + 0.5f);
    now.z = (unsigned char)((float)now.z + share * (float)(old.z - now.z) + 0.5f);
    picture[at] = now;
}
