// A WebSocket that comes back by itself.

const FIRST = 250, LONGEST = 8000; // ms between attempts, doubled each time
const SILENCE = 5000; // ms; a live run says something many times a second: a connection that does not is dead

export class Link {
  /** `heard(message)` for each; `opened()` each time the connection stands. */
  constructor(address, heard, opened) {
    Object.assign(this, { address, heard, opened });
    this.wait = FIRST;
    this.state = "connecting"; // open | connecting | lost
    this.patient = false; // whether silence means nothing: that of a replay that has ended
    this.connect();
    setInterval(() => {
      if (this.state === "open" && !this.patient && Date.now() - this.last > SILENCE) this.lose();
    }, 1000);
  }

  connect() {
    const socket = (this.socket = new WebSocket(this.address));
    socket.onopen = () => {
      this.state = "open";
      this.wait = FIRST;
      this.last = Date.now();
      this.opened();
    };
    socket.onmessage = ({ data }) => {
      this.last = Date.now();
      this.heard(JSON.parse(data));
    };
    socket.onclose = () => this.socket === socket && this.lose();
  }

  lose() {
    this.socket.onmessage = this.socket.onclose = null; // a dead one may linger; what it says late is old
    this.socket.close();
    this.state = "lost";
    const spread = 0.75 + Math.random() / 2; // so that not all pages ask at once
    setTimeout(() => this.connect(), this.wait * spread);
    this.wait = Math.min(2 * this.wait, LONGEST);
  }

  send(message) {
    if (this.state !== "open") return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }
}
