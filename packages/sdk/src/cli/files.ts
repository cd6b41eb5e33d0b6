import { constants } from 'node:fs'
import { access, readFile, stat, writeFile } from 'node:fs/promises'
import { dirname, extname } from 'node:path'
import { EXIT } from './exit-codes.ts'
import { CliError } from './failure.ts'

/** `out.png` alone, or `out-1.png`, `out-2.png` …. */
export function nameFiles(path: string, count: number): string[] {
  if (count === 1) return [path]
  const extension = extname(path)
  const stem = path.slice(0, path.length - extension.length)
  return Array.from({ length: count }, (_, i) => `${stem}-${i + 1}${extension}`)
}

/** Before anything is paid for; writing looks again. */
export async function checkWritable(paths: readonly string[], force: boolean): Promise<void> {
  for (const path of paths) {
    const folder = dirname(path)
    const found = await stat(path).catch(() => undefined)
    if (found?.isDirectory()) throw new CliError(EXIT.output, `${path} is a folder.`)
    if (found && !force) throw exists(path)
    await access(folder, constants.W_OK).catch(() => {
      throw new CliError(EXIT.output, `The folder ${folder} is missing or cannot be written to.`)
    })
  }
}

export async function writeImage(path: string, bytes: Uint8Array, force: boolean): Promise<void> {
  try {
    await writeFile(path, bytes, { flag: force ? 'w' : 'wx' })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw exists(path)
    throw new CliError(EXIT.output, `${path} cannot be written: ${(error as Error).message}`)
  }
}

const exists = (path: string): CliError =>
  new CliError(EXIT.output, `${path} exists already; --force overwrites it.`)

export async function readImage(path: string): Promise<Blob> {
  try {
    return new Blob([await readFile(path)])
  } catch (error) {
    throw new CliError(EXIT.notFound, `${path} cannot be read: ${(error as Error).message}`)
  }
}
