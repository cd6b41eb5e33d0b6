/** Prints one line for people. */
export type Print = (line: string) => void

export interface Io {
  readonly print: Print
  readonly fail: Print
  readInput(): Promise<string>
}

/** The terminal. */
export const consoleIo: Io = {
  print: (line) => console.log(line),
  fail: (line) => console.error(line),
  readInput: async () => {
    let text = ''
    for await (const chunk of process.stdin) text += String(chunk)
    return text.replace(/\r?\n$/, '')
  },
}
