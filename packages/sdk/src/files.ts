/** The part of `node:fs/promises` that is used. */
interface Files {
  readFile(path: string | URL): Promise<Uint8Array<ArrayBuffer>>
  writeFile(path: string | URL, bytes: Uint8Array): Promise<void>
}

/** By a name that bundlers do not see, so that what is built for browsers and workers goes without. */
const load = async (): Promise<Files> => {
  const name = ['node', 'fs/promises'].join(':')
  try {
    return (await import(/* @vite-ignore */ /* webpackIgnore: true */ name)) as Files
  } catch (cause) {
    throw new TypeError('Paths can be used where there are files: in Node, Bun and Deno', { cause })
  }
}

export const readFile = async (path: string | URL): Promise<Uint8Array<ArrayBuffer>> =>
  (await load()).readFile(path)

export const writeFile = async (path: string | URL, bytes: Uint8Array): Promise<void> =>
  (await load()).writeFile(path, bytes)
