import { randomUUID } from 'node:crypto'
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname } from 'node:path'
import { EXIT } from './exit-codes.ts'
import { CliError } from './failure.ts'

/** Who is logged in, and where: the token is for that address alone. */
export interface Login {
  readonly base_url: string
  readonly email: string
  readonly access_token: string
}

export async function readLogin(path: string): Promise<Login | undefined> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw unreadable(path)
  }
  const login = parse(text)
  if (login === undefined) throw unreadable(path)
  return login
}

/** Nothing of what is in it is told: it may be half a token. */
const unreadable = (path: string): CliError =>
  new CliError(EXIT.config, `${path} cannot be read; mend or remove it.`)

function parse(text: string): Login | undefined {
  try {
    const { base_url, email, access_token } = JSON.parse(text) as Partial<Login>
    const fields = [base_url, email, access_token]
    if (!fields.every((field) => typeof field === 'string')) return undefined
    return { base_url, email, access_token } as Login
  } catch {
    return undefined
  }
}

/** Never there with half its text, nor for a moment with looser rights. */
export async function writeLogin(path: string, login: Login): Promise<void> {
  const draft = `${path}.${randomUUID()}`
  try {
    await mkdir(dirname(path), { recursive: true, mode: 0o700 })
    await writeFile(draft, `${JSON.stringify(login, null, 2)}\n`, { flag: 'wx', mode: 0o600 })
    await rename(draft, path)
  } catch (error) {
    await rm(draft, { force: true }).catch(() => {})
    throw new CliError(EXIT.output, `The login cannot be kept: ${(error as Error).message}`)
  }
}

export const removeLogin = (path: string): Promise<void> => rm(path, { force: true })
