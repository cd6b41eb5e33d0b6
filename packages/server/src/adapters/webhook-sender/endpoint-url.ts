import { isIP } from 'node:net'

export interface UrlRules {
  /** Also http, any port and IP addresses. */
  readonly allowPrivate: boolean
  readonly ports: readonly number[]
}

/** The parsed address, or why it cannot be one of a webhook. */
export function parseEndpoint(text: string, rules: UrlRules): URL | string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined) return 'must be a URL'
  if (url.protocol !== 'https:' && !(rules.allowPrivate && url.protocol === 'http:')) {
    return rules.allowPrivate ? 'must begin with https:// or http://' : 'must begin with https://'
  }
  if (url.username !== '' || url.password !== '') return 'must not hold a user name or password'
  url.hash = ''
  if (rules.allowPrivate) return url
  // The parser has turned 127.1, 0x7f.1 and their like into dotted quads by now.
  if (isIP(hostOf(url)) !== 0) return 'must name a host, not an IP address'
  if (!rules.ports.includes(portOf(url))) return `must have port ${rules.ports.join(' or ')}`
  return url
}

/** Host name or IP address, without the brackets that a URL puts around IPv6. */
export const hostOf = ({ hostname }: URL): string => hostname.replace(/^\[(.*)\]$/, '$1')

export const portOf = ({ port, protocol }: URL): number =>
  port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port)
