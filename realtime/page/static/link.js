// A WebSocket that reconnects.

const FIRST = 250, LONGEST = 8000; // ms between attempts, doubled each time
const SILENCE = 5000; // ms without a message after which the connection of a live run is considered lost

export class Link {
  /** Calls `received(message)` for each message and `opened()` after each connection. */
  constructor(address, received, opened) {
    Object.assign(this, { address, received, opened });
    this.wait = FIRST;
    this.state = "connecting"; // open | connecting | lost
    this.mayBeSilent = false; // as after the end of a replay
    this.connect();
    setInterval(() => {
      if (this.state === "open" && !this.mayBeSilent && Date.now() - this.last > SILENCE) this.lose();
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
      this.received(JSON.parse(data));
    };
    socket.onclose = () => this.socket === socket && this.lose();
  }

  lose() {
    this.socket.onmessage = this.socket.onclose = null; // a lost one may still deliver old messages
    this.socket.close();
    this.state = "lost";
    const spread = 0.75 + Math.random() / 2; // pages do not reconnect all at once
    setTimeout(() => this.connect(), this.wait * spread);
    this.wait = Math.min(2 * this.wait, LONGEST);
  }

  send(message) {
    if (this.state !== "open") return false;
    this.socket.send(JSON.stringify(message));
    return true;
  }
}
