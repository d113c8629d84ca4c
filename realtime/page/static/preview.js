// The face's landmarks: points, never the picture.

export class Preview {
  constructor(canvas, section) {
    this.canvas = canvas;
    this.section = section;
  }

  /** `points`: x and y alternating, in thousandths of the picture's width and height; null without a face. */
  show({ points, aspect }) {
    this.section.hidden = false;
    const { canvas } = this;
    const pen = canvas.getContext("2d");
    const width = canvas.clientWidth * devicePixelRatio;
    canvas.width = width;
    canvas.height = width / aspect;
    const size = Math.max(1.5, width / 250);
    pen.fillStyle = getComputedStyle(canvas).color;
    for (let i = 0; i < (points?.length ?? 0); i += 2) {
      const x = (points[i] / 1000) * canvas.width, y = (points[i + 1] / 1000) * canvas.height;
      pen.fillRect(x - size / 2, y - size / 2, size, size);
    }
  }
}
