"""Which options of ssh_config are followed, which are refused or told, and which have no part in a connection."""

from __future__ import annotations

_OTHER_WORDS = """
addkeystoagent afstokenpassing batchmode canonicalizefallbacklocal challengeresponseauthentication
channeltimeout checkhostip cipher clearallforwardings compression compressionlevel connectionattempts
controlmaster controlpath controlpersist dsaauthentication dynamicforward enableescapecommandline
enablesshkeysign escapechar exitonforwardfailure fallbacktorsh fingerprinthash forkafterauthentication
forwardx11timeout gatewayports globalknownhostsfile2 gssapiauthentication gssapiclientidentity
gssapidelegatecredentials gssapikexalgorithms gssapikeyexchange gssapirenewalforcesrekey
gssapiserveridentity gssapitrustdns hashknownhosts hostbasedacceptedalgorithms hostbasedauthentication
hostbasedkeytypes identityfile2 ignoreunknown ipqos kbdinteractivedevices keepalive
kerberosauthentication kerberostgtpassing localforward loglevel logverbose numberofpasswordprompts
obscurekeystroketiming permitremoteopen protocol protocolkeepalives proxyusefdpass
pubkeyacceptedkeytypes rekeylimit remotecommand remoteforward requesttty rhostsauthentication
rhostsrsaauthentication rsaauthentication sendenv serveralivecountmax serveraliveinterval sessiontype
setenv setuptimeout skeyauthentication smartcarddevice stdinnull streamlocalbindmask
streamlocalbindunlink syslogfacility tcpkeepalive tisauthentication tunnel tunneldevice updatehostkeys
usekeychain useprivilegedport userknownhostsfile2 useroaming usersh versionaddendum visualhostkey
warnweakcrypto xauthlocation
"""

#: Options whose whole rest of the line is the value, quotes and `#` included.
RAW = frozenset({"proxycommand", "proxyjump", "localcommand", "remotecommand", "knownhostscommand"})
#: Options with one value, where the first one found counts.
SINGLE = frozenset(
    {"hostname", "user", "port", "proxyjump", "proxycommand", "hostkeyalias", "identityagent"}
    | {"identitiesonly", "connecttimeout", "tag", "refuseconnection"}
    | {"canonicalizehostname", "canonicalizemaxdots"}
)
#: Options with a list as value, where the first one found counts.
LISTS = frozenset({"canonicaldomains", "canonicalizepermittedcnames"})
#: Options that add up.
MULTIPLE = frozenset({"identityfile", "certificatefile"})
#: What is never obeyed, whatever its value: it would weaken the connection or run a program of its own here.
WEAKENING = frozenset(
    {
        "stricthostkeychecking",
        "userknownhostsfile",
        "globalknownhostsfile",
        "knownhostscommand",
        "verifyhostkeydns",
        "nohostauthenticationforlocalhost",
        "forwardagent",
        "forwardx11",
        "forwardx11trusted",
        "localcommand",
        "permitlocalcommand",
        "hostkeyalgorithms",
        "pubkeyacceptedalgorithms",
        "kexalgorithms",
        "ciphers",
        "macs",
        "casignaturealgorithms",
        "pkcs11provider",
        "securitykeyprovider",
    }
)
#: What ssh would obey and sealboot does not: the way in differs, so it is told.
UNUSED = frozenset(
    {
        "addressfamily",
        "bindaddress",
        "bindinterface",
        "pubkeyauthentication",
        "passwordauthentication",
        "kbdinteractiveauthentication",
        "preferredauthentications",
        "requiredrsasize",
        "revokedhostkeys",
    }
)
TOLD = WEAKENING | UNUSED
#: Values of those that ask for no more and no less than sealboot does anyway.
HARMLESS = {
    "stricthostkeychecking": {"yes", "ask", "accept-new"},
    "forwardagent": {"no"},
    "forwardx11": {"no"},
    "forwardx11trusted": {"no"},
    "permitlocalcommand": {"no"},
    "verifyhostkeydns": {"no"},
    "nohostauthenticationforlocalhost": {"no"},
    "addressfamily": {"any"},
    "pubkeyauthentication": {"yes"},
    "passwordauthentication": {"yes"},
    "kbdinteractiveauthentication": {"yes"},
    "revokedhostkeys": {"none"},
}
#: The other keywords of OpenSSH 10.5, of older releases and of the patches of Apple, Debian and Red Hat.
OTHERS = frozenset(_OTHER_WORDS.split())
KNOWN = SINGLE | LISTS | MULTIPLE | TOLD | OTHERS
#: Older spellings of one option.
ALIASES = {"identityfile2": "identityfile"}
