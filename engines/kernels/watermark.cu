// The invisible mark in the luma of a finished picture.

#define MARK_BLOCK 8

// An item is a block of 8 x 8 pixels, which share a gain; at the right and lower edge it may be
// smaller. `luma` is (height, width), the first part of an I420, and is changed in place; `pattern`
// has the same shape. In whole numbers, as realtime/watermark.py, which draws the pattern and says
// what the gains are.
extern "C" __global__ void embed_mark(int columns, int rows,
                                      const signed char *__restrict__ pattern, int width,
                                      int height, int faintest, int strongest, int per_level,
                                      int shift, unsigned char *__restrict__ luma) {
    ITEM_OR_RETURN(x, y);
    const int left = x * MARK_BLOCK, right = min(left + MARK_BLOCK, width);
    const int top = y * MARK_BLOCK, bottom = min(top + MARK_BLOCK, height);
    int total = 0;
    for (int row = top; row < bottom; row += 2) {
        for (int column = left; column < right - 1; ++column) {
            const int difference = luma[row * width + column + 1] - luma[row * width + column];
            total += difference < 0 ? -difference : difference;
        }
    }
    const int pairs = max((right - left - 1) * ((bottom - top + 1) / 2), 1);
    const int gain = min(faintest + per_level * total / pairs, strongest);
    const int half = 1 << (shift - 1);
    for (int row = top; row < bottom; ++row) {
        for (int column = left; column < right; ++column) {
            const int at = row * width + column;
            luma[at] = saturated_int(luma[at] + ((pattern[at] * gain + half) >> shift));
        }
    }
}
