// The landmarks of faces: points, never the picture. Those of others than the followed person are fainter; a click
// on a face is a choice of that person.

const FAINT = 0.45; // opacity

export class Preview {
  /** Calls `choose(person)` when a face is clicked. */
  constructor(canvas, section, choose) {
    this.canvas = canvas;
    this.section = section;
    this.faces = []; // person, points, and box: left, top, right, bottom, in thousandths
    canvas.onclick = (event) => {
      const person = this.at(event.offsetX / canvas.clientWidth, event.offsetY / canvas.clientHeight);
      if (person) choose(person);
    };
  }

  /** `points`: x and y alternating, in thousandths of the picture's width and height; null if not in view. */
  show({ person, points, others = [], aspect }) {
    this.section.hidden = false;
    const { canvas } = this;
    const pen = canvas.getContext("2d");
    const width = canvas.clientWidth * devicePixelRatio;
    canvas.width = width;
    canvas.height = width / aspect;
    this.faces = [...others, ...(points ? [{ person, points, followed: true }] : [])].map(withBox);
    const size = Math.max(1.5, width / 250);
    const style = getComputedStyle(canvas);
    pen.fillStyle = style.color;
    pen.font = `${12 * devicePixelRatio}px ${style.fontFamily}`;
    pen.textAlign = "center";
    for (const { person, points, box, followed } of this.faces) {
      pen.globalAlpha = followed ? 1 : FAINT;
      for (let i = 0; i < points.length; i += 2) {
        const x = (points[i] / 1000) * canvas.width, y = (points[i + 1] / 1000) * canvas.height;
        pen.fillRect(x - size / 2, y - size / 2, size, size);
      }
      if (!others.length || !person) continue; // there is nobody to tell apart
      pen.globalAlpha = 1;
      const above = (box[1] / 1000) * canvas.height - 6 * devicePixelRatio;
      const middle = ((box[0] + box[2]) / 2000) * canvas.width;
      pen.fillText(followed ? `● ${person}` : person, middle, Math.max(above, 12 * devicePixelRatio));
    }
    canvas.dataset.people = this.faces.map((face) => face.person).join(" ");
  }

  /** The person whose face is there, in shares of the canvas; null if none is. */
  at(x, y) {
    const [left, top] = [1000 * x, 1000 * y];
    const hit = this.faces.filter(({ box }) => box[0] <= left && left <= box[2] && box[1] <= top && top <= box[3]);
    const distance = ({ box }) => Math.hypot(left - (box[0] + box[2]) / 2, top - (box[1] + box[3]) / 2);
    return hit.sort((one, other) => distance(one) - distance(other))[0]?.person ?? null;
  }
}

function withBox(face) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (const [i, value] of face.points.entries()) {
    box[i % 2] = Math.min(box[i % 2], value);
    box[2 + (i % 2)] = Math.max(box[2 + (i % 2)], value);
  }
  return { ...face, box };
}
