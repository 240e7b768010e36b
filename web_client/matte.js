/* Draws video onto a canvas, and puts the matte back where it came with the picture: colour above,
 * opacity below, in one video of twice the height. What is not covered is truly transparent.
 *
 * Colour comes straight and leaves premultiplied, as browsers composite. The matte's ends are
 * stretched by a little, because a codec leaves noise where there was plain black and white. */

const VERTEX = `
attribute vec2 corner;
varying vec2 place;
void main() {
  place = vec2(corner.x + 1.0, 1.0 - corner.y) / 2.0;
  gl_Position = vec4(corner, 0.0, 1.0);
}`;

const SCENE = `
precision mediump float;
uniform sampler2D video;
varying vec2 place;
void main() {
  gl_FragColor = vec4(texture2D(video, place).rgb, 1.0);
}`;

const CUTOUT = `
precision highp float;
uniform sampler2D video;
uniform float row;  // the height of one, of all
varying vec2 place;
const float NOISE = 0.012;
void main() {
  float y = place.y / 2.0;
  vec3 colour = texture2D(video, vec2(place.x, min(y, 0.5 - row))).rgb;
  float matte = texture2D(video, vec2(place.x, max(y + 0.5, 0.5 + row / 2.0))).g;
  float alpha = clamp((matte - NOISE) / (1.0 - 2.0 * NOISE), 0.0, 1.0);
  gl_FragColor = vec4(colour * alpha, alpha);
}`;

export class Painter {
  #canvas;
  #cutout;
  #gl = null;
  #row = null;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {boolean} cutout the video is colour above matte
   */
  constructor(canvas, cutout) {
    this.#canvas = canvas;
    this.#cutout = cutout;
    canvas.addEventListener("webglcontextlost", (event) => {
      event.preventDefault(); // so that it comes back
      this.#gl = null;
    });
    canvas.addEventListener("webglcontextrestored", () => this.#begin());
    this.#begin();
  }

  /** @param {HTMLVideoElement} video with a picture @returns {boolean} whether it was drawn */
  draw(video) {
    const [width, height] = [video.videoWidth, video.videoHeight];
    if (!this.#gl || !width || !height) return false;
    const shown = this.#cutout ? height / 2 : height;
    if (this.#canvas.width !== width || this.#canvas.height !== shown) {
      [this.#canvas.width, this.#canvas.height] = [width, shown];
      this.#gl.viewport(0, 0, width, shown);
    }
    const gl = this.#gl;
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGB, gl.RGB, gl.UNSIGNED_BYTE, video);
    if (this.#row) gl.uniform1f(this.#row, 1 / height);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    return true;
  }

  #begin() {
    const options = { alpha: true, premultipliedAlpha: true, antialias: false, depth: false };
    const gl = this.#canvas.getContext("webgl", options);
    if (!gl) throw new Error("this browser has no WebGL; in OBS turn on browser source hardware acceleration (Settings, Advanced)");
    const program = gl.createProgram();
    gl.attachShader(program, compiled(gl, gl.VERTEX_SHADER, VERTEX));
    gl.attachShader(program, compiled(gl, gl.FRAGMENT_SHADER, this.#cutout ? CUTOUT : SCENE));
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(program));
    gl.useProgram(program);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 3, -1, -1, 3]), gl.STATIC_DRAW);
    const corner = gl.getAttribLocation(program, "corner");
    gl.enableVertexAttribArray(corner);
    gl.vertexAttribPointer(corner, 2, gl.FLOAT, false, 0, 0);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    for (const [name, value] of [
      [gl.TEXTURE_MIN_FILTER, gl.NEAREST],
      [gl.TEXTURE_MAG_FILTER, gl.NEAREST],
      [gl.TEXTURE_WRAP_S, gl.CLAMP_TO_EDGE],
      [gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE],
    ]) {
      gl.texParameteri(gl.TEXTURE_2D, name, value);
    }
    this.#row = this.#cutout ? gl.getUniformLocation(program, "row") : null;
    this.#gl = gl;
  }
}

function compiled(gl, type, source) {
  const shader = gl.createShader(type);
  gl.shaderSource(shader, source);
  gl.compileShader(shader);
  if (!gl.getShaderParameter(shader, gl.COMPILE_STATUS)) throw new Error(gl.getShaderInfoLog(shader));
  return shader;
}
