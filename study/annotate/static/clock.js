// Which time of the recording belongs to a moment: the media's own, never the wall clock's.

const STALE = 0.25; // s; a picture that is older says nothing about now

export class Clock {
  constructor(video, offset) {
    this.video = video;
    this.offset = offset;
    this.picture = null;
    if (!video.requestVideoFrameCallback) return;
    const shown = (now, { mediaTime, expectedDisplayTime }) => {
      this.picture = { media: mediaTime, shown: expectedDisplayTime };
      video.requestVideoFrameCallback(shown);
    };
    video.requestVideoFrameCallback(shown);
    video.addEventListener("seeking", () => (this.picture = null));
  }

  /** The time at `stamp`, ms as `performance.now()` and as events have it, s on the recording's axis. */
  at(stamp = performance.now()) {
    const { video, picture, offset } = this;
    if (video.paused || video.seeking) return video.currentTime + offset;
    const rate = video.playbackRate / 1000;
    const played = video.currentTime + (stamp - performance.now()) * rate;
    if (!picture) return played + offset;
    const seen = picture.media + (stamp - picture.shown) * rate;
    return (Math.abs(seen - played) < STALE ? seen : played) + offset;
  }

  seek(time) {
    const { video, offset } = this;
    video.currentTime = Math.min(Math.max(time - offset, 0), video.duration || 0);
  }
}
