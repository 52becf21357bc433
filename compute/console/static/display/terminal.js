// A terminal for a serial line: text, its cursor, and as much of ECMA-48 as shells and boot messages use. No element is
// touched here; `rows` is what is to be seen. Colours are passed over.

const ROWS_KEPT = 2000;
const TAB = 8;

export class Terminal {
  constructor(answer) {
    this.answer = answer; // what the terminal says by itself: where its cursor is
    this.rows = [""];
    this.row = 0;
    this.column = 0;
    this.top = 0; // the row that programs call the first
    this.pending = ""; // of a sequence that has not ended
  }

  write(text) {
    let data = this.pending + text;
    this.pending = "";
    while (data) {
      const escape = data.indexOf("\x1b");
      if (escape !== 0) {
        this.plain(escape < 0 ? data : data.slice(0, escape));
        data = escape < 0 ? "" : data.slice(escape);
        continue;
      }
      const found = /^\x1b(?:\[([0-9;?]*)([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()][0-9A-B]|[^[\]()])/.exec(data);
      if (!found) {
        if (data.length < 256) { this.pending = data; return; }
        data = data.slice(1); // it is no sequence that anybody knows
        continue;
      }
      if (found[2]) this.control(found[2], found[1].split(";").map((each) => Number.parseInt(each, 10) || 0));
      data = data.slice(found[0].length);
    }
  }

  plain(text) {
    for (const letter of text) {
      if (letter === "\r") this.column = 0;
      else if (letter === "\n") this.down();
      else if (letter === "\b") this.column = Math.max(0, this.column - 1);
      else if (letter === "\t") this.column += TAB - (this.column % TAB);
      else if (letter >= " " && letter !== "\x7f") this.put(letter);
    }
  }

  put(letter) {
    const line = this.rows[this.row].padEnd(this.column);
    this.rows[this.row] = line.slice(0, this.column) + letter + line.slice(this.column + 1);
    this.column += 1;
  }

  down() {
    this.row += 1;
    if (this.row === this.rows.length) this.rows.push("");
    const much = this.rows.length - ROWS_KEPT;
    if (much > 0) {
      this.rows.splice(0, much);
      this.row -= much;
      this.top = Math.max(0, this.top - much);
    }
  }

  control(name, [first, second]) {
    const count = Math.max(1, first);
    const line = this.rows[this.row];
    if (name === "A") this.row = Math.max(this.top, this.row - count);
    else if (name === "B") this.to(this.row + count);
    else if (name === "C") this.column += count;
    else if (name === "D") this.column = Math.max(0, this.column - count);
    else if (name === "G") this.column = count - 1;
    else if (name === "H" || name === "f") { this.to(this.top + count - 1); this.column = Math.max(1, second ?? 1) - 1; }
    else if (name === "K") this.rows[this.row] = first === 1 ? line.slice(this.column).padStart(line.length) : first === 2 ? "" : line.slice(0, this.column);
    else if (name === "J") this.erase(first, line);
    else if (name === "P") this.rows[this.row] = line.slice(0, this.column) + line.slice(this.column + count);
    else if (name === "@") this.rows[this.row] = line.slice(0, this.column).padEnd(this.column) + " ".repeat(count) + line.slice(this.column);
    else if (name === "n" && first === 6) this.answer(`\x1b[${this.row - this.top + 1};${this.column + 1}R`);
  }

  erase(how, line) {
    if (how >= 2) { // the screen: it begins anew below, what was said stays
      this.row = this.rows.length - 1;
      if (this.rows[this.row]) this.down();
      this.top = this.row;
      this.column = 0;
      return;
    }
    if (how === 0) {
      this.rows[this.row] = line.slice(0, this.column);
      this.rows.length = this.row + 1;
    }
  }

  to(row) {
    while (this.rows.length <= row) this.rows.push("");
    this.row = row;
  }
}
