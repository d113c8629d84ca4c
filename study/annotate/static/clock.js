// Which time of the recording belongs to a moment: the media's own, never the wall clock's.

const STALE = 0.25; // s; a picture that is older says nothing about now
const KEPT = 8; // pictures
const LATEST = 150; // ms; after which no more is said about a picture

export class Clock {
  constructor(video, offset) {
    this.video = video;
    this.offset = offset;
    this.pictures = []; // the newest last: on the screen from `shown` on
    this.stopped = null; // when it was paused
    video.addEventListener("pause", () => (this.stopped = performance.now()));
    video.addEventListener("playing", () => (this.stopped = null));
    video.addEventListener("seeking", () => (this.pictures = []));
    this.reported = Boolean(video.requestVideoFrameCallback);
    if (!this.reported) return;
    const shown = (now, { mediaTime, expectedDisplayTime }) => {
      this.pictures.push({ media: mediaTime, shown: expectedDisplayTime });
      if (this.pictures.length > KEPT) this.pictures.shift();
      video.requestVideoFrameCallback(shown);
    };
    video.requestVideoFrameCallback(shown);
  }

  /** Whether `at(stamp)` is final. The browser may tell of a picture a display's frame after it is shown. */
  knows(stamp) {
    return !this.reported || this.pictures.at(-1)?.shown > stamp || performance.now() - stamp > LATEST;
  }

  /** The time at `stamp`, ms as `performance.now()` and as events have it, s on the recording's axis. */
  at(stamp = performance.now()) {
    const { video, pictures, offset } = this;
    const before = this.stopped !== null && stamp < this.stopped;
    if ((video.paused && !before) || video.seeking) return video.currentTime + offset;
    const rate = video.playbackRate / 1000;
    const played = video.currentTime + (stamp - performance.now()) * rate;
    const picture = pictures.findLast(({ shown }) => shown <= stamp) ?? pictures[0];
    if (!picture) return played + offset;
    const seen = picture.media + (stamp - picture.shown) * rate;
    return (Math.abs(seen - played) < STALE ? seen : played) + offset;
  }

  seek(time) {
    const { video, offset } = this;
    video.currentTime = Math.min(Math.max(time - offset, 0), video.duration || 0);
  }
}
