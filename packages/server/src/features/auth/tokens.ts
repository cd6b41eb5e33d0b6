import { errors as joseErrors, jwtVerify, SignJWT } from 'jose'
import type { Secrets } from '../../kernel/secrets.ts'

/** One week. */
export const TOKEN_SECONDS = 604_800

const ISSUER = 'nanobanana'
const AUDIENCE = 'nanobanana'
const TYPE = 'JWT'
const CLOCK_TOLERANCE_SECONDS = 5
/** Ours are about 400 characters; nothing longer is worth parsing. */
const MAX_TOKEN_CHARACTERS = 2048
const HEADER_NAMES = 'alg,kid,typ'
const CLAIM_NAMES = 'aud,exp,iat,iss,jti,sub,ver'

export interface TokenClaims {
  /** TypeID of the account. */
  readonly sub: string
  readonly jti: string
  readonly ver: number
  readonly expiresAt: Date
}

/** Signs an access token with the newest secret. */
export async function signToken(
  secrets: Pick<Secrets, 'jwt'>,
  claims: { sub: string; jti: string; ver: number },
  now: Date,
): Promise<string> {
  const secret = secrets.jwt[0]
  if (secret === undefined) throw new Error('no JWT secret is configured')
  const issuedAt = Math.floor(now.getTime() / 1000)
  return new SignJWT({ ver: claims.ver })
    .setProtectedHeader({ alg: 'HS256', typ: TYPE, kid: secret.kid })
    .setSubject(claims.sub)
    .setJti(claims.jti)
    .setIssuer(ISSUER)
    .setAudience(AUDIENCE)
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + TOKEN_SECONDS)
    .sign(secret.bytes)
}

/** The claims of a token of ours that has not ended, or undefined. */
export async function verifyToken(
  secrets: Pick<Secrets, 'jwt'>,
  token: string,
  now: Date,
): Promise<TokenClaims | undefined> {
  if (token.length > MAX_TOKEN_CHARACTERS || !isCanonical(token)) return undefined
  try {
    const { payload } = await jwtVerify(
      token,
      ({ kid }) => {
        const secret = secrets.jwt.find((one) => one.kid === kid)
        if (secret === undefined) throw new joseErrors.JWKSNoMatchingKey()
        return secret.bytes
      },
      {
        algorithms: ['HS256'],
        typ: TYPE,
        issuer: ISSUER,
        audience: AUDIENCE,
        requiredClaims: ['exp', 'iat', 'sub', 'jti'],
        maxTokenAge: TOKEN_SECONDS,
        clockTolerance: CLOCK_TOLERANCE_SECONDS,
        currentDate: now,
      },
    )
    const { sub, jti, ver, exp, iat } = payload
    if (typeof sub !== 'string' || typeof jti !== 'string' || typeof ver !== 'number')
      return undefined
    if (exp === undefined || iat === undefined || exp - iat !== TOKEN_SECONDS) return undefined
    return { sub, jti, ver, expiresAt: new Date(exp * 1000) }
  } catch (error) {
    if (error instanceof joseErrors.JOSEError) return undefined
    throw error
  }
}

/**
 * Whether header and payload are written as we write them: three parts, exactly our members, no
 * member twice. What JSON parsers read differently never gets as far as a claim.
 */
function isCanonical(token: string): boolean {
  const [header, payload, signature, ...rest] = token.split('.')
  if (!header || !payload || !signature || rest.length > 0) return false
  return hasExactly(header, HEADER_NAMES) && hasExactly(payload, CLAIM_NAMES)
}

function hasExactly(part: string, names: string): boolean {
  try {
    const text = Buffer.from(part, 'base64url').toString('utf8')
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
    return JSON.stringify(value) === text && Object.keys(value).toSorted().join() === names
  } catch {
    return false
  }
}
