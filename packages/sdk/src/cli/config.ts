import { homedir } from 'node:os'
import { isAbsolute, join } from 'node:path'
import { type Protocol, protocolOf } from './preview.ts'

/** What the environment says. */
export interface Environment {
  readonly apiKey: string | undefined
  readonly baseUrl: string | undefined
  /** Where the login is kept. */
  readonly loginFile: string
  /** Whether a browser has somewhere to open. */
  readonly hasScreen: boolean
  /** How the terminal is sent pictures, where it takes them. */
  readonly protocol: Protocol | undefined
}

export function readEnvironment(): Environment {
  const { env } = process
  const read = (name: string) => env[name]?.trim() || undefined
  const environment: Environment = {
    apiKey: read('NANOBANANA_API_KEY'),
    baseUrl: read('NANOBANANA_BASE_URL'),
    loginFile: join(configFolder(read), 'nanobanana', 'login.json'),
    hasScreen:
      process.platform !== 'linux' || (read('DISPLAY') ?? read('WAYLAND_DISPLAY')) !== undefined,
    protocol: protocolOf(env),
  }
  // Else the client would send it where a password or login is meant, and a browser inherit it.
  delete env['NANOBANANA_API_KEY']
  return environment
}

/** The XDG specification has relative paths ignored. */
function configFolder(read: (name: string) => string | undefined): string {
  const told = read('XDG_CONFIG_HOME')
  if (told !== undefined && isAbsolute(told)) return told
  return (process.platform === 'win32' ? read('APPDATA') : undefined) ?? join(homedir(), '.config')
}
