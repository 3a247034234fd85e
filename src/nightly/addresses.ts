import { lookup } from 'node:dns/promises'
import { BlockList, isIP } from 'node:net'
import { InputError, TransientError } from '../errors.ts'

/** Addresses that do not lie in the open internet (IANA's special-purpose registries): no user's URL leads there (CWE-918). */
const PRIVATE: readonly [string, number][] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
]
/** Also those that carry an IPv4 address inside: they would lead to the same places. */
const PRIVATE_6: readonly [string, number][] = [
  ['::', 96],
  ['::ffff:0:0', 96],
  ['64:ff9b::', 96],
  ['2002::', 16],
  ['fc00::', 7],
  ['fe80::', 10],
  ['ff00::', 8],
]
// One list for each: a list with ::ffff:0:0/96 in it matches every IPv4 address as well.
const blocked = { 4: new BlockList(), 6: new BlockList() }
for (const [net, bits] of PRIVATE) blocked[4].addSubnet(net, bits, 'ipv4')
for (const [net, bits] of PRIVATE_6) blocked[6].addSubnet(net, bits, 'ipv6')

export interface PinnedAddress {
  address: string
  family: 4 | 6
}

/**
 * The host's address, looked up once: whoever connects must use this one, since a second look-up may answer otherwise.
 * InputError where any of its addresses is private, unless the worker's operator allows this host.
 */
export async function pinAddress(host: string, allowedHosts: readonly string[]): Promise<PinnedAddress> {
  const name = host.replace(/^\[|\]$/g, '')
  const literal = isIP(name)
  const found = literal ? [{ address: name, family: literal }] : await lookUp(name)
  const isPrivate = ({ address, family }: { address: string; family: number }) =>
    family === 6 ? blocked[6].check(address, 'ipv6') : blocked[4].check(address, 'ipv4')
  if (!allowedHosts.includes(name) && found.some(isPrivate)) {
    throw new InputError(
      `${name}: is an address of a private network; notifications go there only if the worker's TEMPER_WEBHOOK_HOSTS names the host.`,
    )
  }
  const [first] = found
  if (first === undefined) throw new InputError(`${name}: has no address.`)
  return { address: first.address, family: first.family === 6 ? 6 : 4 }
}

/** A name that is not found may be found later: its receiver is told again. */
async function lookUp(name: string): Promise<{ address: string; family: number }[]> {
  try {
    return await lookup(name, { all: true })
  } catch (error) {
    throw new TransientError(`${name}: cannot be looked up (${String(error)})`, { cause: error })
  }
}
