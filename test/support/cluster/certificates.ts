import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { runCommand } from '../../../src/local/run-command.ts'

export interface Certificate {
  certFile: string
  keyFile: string
}

interface Subject {
  commonName: string
  /** Kubernetes reads them as the user's groups. */
  organizations?: readonly string[]
  /** Addresses and names that a server answers under. */
  addresses?: readonly string[]
  names?: readonly string[]
}

/** A certificate authority of this cluster alone. Node can make keys but no certificates, so openssl does it. */
export interface Authority extends Certificate {
  /** `name` is only the beginning of the files' names. */
  issue(name: string, subject: Subject): Promise<Certificate>
}

const daysValid = '7'

export async function createAuthority(folder: string): Promise<Authority> {
  await mkdir(folder, { recursive: true })
  const certFile = join(folder, 'ca.crt')
  const keyFile = join(folder, 'ca.key')
  const config = join(folder, 'openssl.cnf')
  // The machine's own configuration may add extensions or ask questions.
  await writeFile(
    config,
    '[req]\ndistinguished_name = name\n[name]\n[ca]\nbasicConstraints = critical, CA:true\nkeyUsage = critical, keyCertSign, cRLSign\nsubjectKeyIdentifier = hash\n',
  )
  await openssl(
    'req',
    '-x509',
    ...newKey(keyFile),
    '-config',
    config,
    '-extensions',
    'ca',
    ...validity(certFile),
    '-subj',
    '/CN=temper-test-ca',
  )
  let serial = 1
  const issue = async (name: string, subject: Subject): Promise<Certificate> => {
    // Two nodes may ask for the same user's at once.
    const number = ++serial
    const base = join(folder, `${name}-${number}`)
    const paths = { certFile: `${base}.crt`, keyFile: `${base}.key` }
    const request = `${base}.csr`
    const extensions = `${base}.ext`
    await writeFile(extensions, extensionsOf(subject))
    await openssl(
      'req',
      '-new',
      ...newKey(paths.keyFile),
      '-config',
      config,
      '-out',
      request,
      '-subj',
      nameOf(subject),
    )
    await openssl(
      ...['x509', '-req', '-in', request, '-CA', certFile, '-CAkey', keyFile],
      ...['-set_serial', String(number), '-extfile', extensions, ...validity(paths.certFile)],
    )
    return paths
  }
  return { certFile, keyFile, issue }
}

function newKey(file: string): string[] {
  return ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', file]
}

function validity(file: string): string[] {
  return ['-sha256', '-days', daysValid, '-out', file]
}

function nameOf(subject: Subject): string {
  const organizations = (subject.organizations ?? []).map((name) => `/O=${name}`)
  return `${organizations.join('')}/CN=${subject.commonName}`
}

function extensionsOf(subject: Subject): string {
  const alternatives = [
    ...(subject.names ?? []).map((name) => `DNS:${name}`),
    ...(subject.addresses ?? []).map((address) => `IP:${address}`),
  ]
  const lines = [
    'basicConstraints = critical, CA:false',
    'keyUsage = critical, digitalSignature',
    'extendedKeyUsage = serverAuth, clientAuth',
  ]
  if (alternatives.length > 0) lines.push(`subjectAltName = ${alternatives.join(', ')}`)
  return `${lines.join('\n')}\n`
}

function openssl(...args: string[]): Promise<string> {
  return runCommand('openssl', args, { timeoutMilliseconds: 60_000 })
}
