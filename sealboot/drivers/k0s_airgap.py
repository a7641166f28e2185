"""Air-gapped upgrades of k0s, judged before anything is written: which image each node will want, and who has it.

A release before 1.32.1 wrote its own images into the live ClusterConfig as soon as one setting of theirs was
changed (k0s issue 5258, `StripDefaults` compared whole blocks), and the object wins over every later release's
defaults. A bundle of the new release then holds none of the images that run, and with `default_pull_policy:
Never` they cannot come from anywhere else. The corrections of k0s leave existing objects as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256

from sealboot.drivers import k0s_airgap_scripts as scripts
from sealboot.drivers.asking import as_root
from sealboot.drivers.base import Context, Slot
from sealboot.drivers.k0s_airgap_places import (
    ENVOY,
    NO_ENVOY,
    PROXY,
    PUSHGATEWAY,
    Pin,
    Place,
    Settings,
)
from sealboot.drivers.k0s_airgap_rows import (
    LIST_SLOT,
    Live,
    Release,
    Table,
    bundled,
    defaults,
    intended,
    live,
    of_release,
    release,
    tables,
)
from sealboot.drivers.k0s_options import CONTROLLERS, NODES, K0sOptions
from sealboot.model.artifact import Kind
from sealboot.model.diagnostic import Diagnostic, Severity
from sealboot.model.host import Host, Inventory
from sealboot.model.steps import Run, Step, Succeeds

_OFFER = (
    "to have them removed before a controller is upgraded: `options: {unpin: true}`",
    "`sealboot plan` then shows the edit as a step, `sealboot apply` makes it and keeps the object as it was",
    "an image that is meant stays: write it into `options: {config: …}` as well",
)


def slots(inventory: Inventory) -> tuple[Slot, ...]:
    """The release's own list of images, where the inventory names one."""
    named = LIST_SLOT in inventory.artifacts or any(LIST_SLOT in host.artifacts for host in inventory.hosts)
    if not named:
        return ()
    return (Slot(LIST_SLOT, kinds=(Kind.UNKNOWN,), executable=False, required=False),)


def questions(options: K0sOptions, host: Host) -> dict[str, str]:
    """What a host is asked about images."""
    binary, data = options.binary(host), options.data(host)
    asked = {scripts.STORED: scripts.stored(binary)} if host.role in NODES else {}
    if host.role in CONTROLLERS and options.dynamic_config == "true":
        asked |= {
            scripts.LIVE: scripts.live(binary, data),
            scripts.DEFAULTS: scripts.defaults(binary, data),
        }
    return {key: as_root(host, script, script) for key, script in asked.items()}


def findings(ctx: Context, options: K0sOptions) -> Iterator[Diagnostic]:
    """SB670 to SB675."""
    found = live(ctx, options)
    settings = _settings(options, found)
    yield from _balancer(ctx, options, settings)
    yield from _unknown(options, found)
    pins = defaults(ctx, options, found)
    if pins.stale and found.host is not None:
        yield _stale(ctx, options, found, found.host, pins.stale)
    for table in tables(ctx, options, settings, pins.dropped(options)):
        yield from _bundle(ctx, options, table)
        yield from _missing(table)


def unpin(ctx: Context, options: K0sOptions) -> Iterator[Step]:
    """The edit that takes stale pins out, on a controller of the old release; nothing where there are none.

    It is made before any controller is upgraded: the old release has these images by itself, so that
    nothing changes until another one runs.
    """
    found = live(ctx, options)
    pins = defaults(ctx, options, found)
    if found.host is None or not pins.dropped(options):
        return
    host = found.host
    binary, data = options.binary(host), options.data(host)
    name = sha256(scripts.edit(pins.every).encode()).hexdigest()[:12]
    keep = f"{options.backup_dir}/clusterconfig-{name}.json"
    yield Run(
        id=f"unpin/{host.name}/clusterconfig",
        host=host.name,
        title=f"unpin {_count(len(pins.every), 'image')} in the live ClusterConfig, which stays in {keep}",
        timeout=120.0,
        check=Succeeds(scripts.unpinned(binary, data, pins.every), timeout=60.0),
        script=scripts.unpin(binary, data, keep, pins.every),
    )


def confirm(ctx: Context, options: K0sOptions) -> Iterator[Step]:
    """Have the release itself name the images that the check went by, from staging, where nothing is pulled."""
    found = live(ctx, options)
    settings = _settings(options, found)
    first = options.first(ctx.inventory)
    host = found.host or (first if first is not None and first.name in ctx.facts else None)
    if not settings.never or host is None or settings.repository:
        return
    dropped = defaults(ctx, options, found).dropped(options)
    # What a release lists depends on the machine that asks it, and `--all` has not always been all.
    silent = {PUSHGATEWAY, *({ENVOY} if ctx.facts[host.name].kernel_arch in NO_ENVOY else ())}
    rows = (row for table in tables(ctx, options, settings, dropped) for row in table.rows)
    images = sorted({str(r.needed) for r in rows if r.needed and not r.pinned and r.place not in silent})
    if images:
        script = scripts.listed(options.binary(host), options.data(host), images)
        yield Run(
            id=f"confirm/{host.name}/images",
            host=host.name,
            title=f"have the k0s that is to come name {_count(len(images), 'image')}",
            timeout=90.0,
            check=Succeeds(script, timeout=60.0),
            script=script,
        )


def _settings(options: K0sOptions, found: Live) -> Settings:
    """The live object decides where there is one; without it k0s.yaml does."""
    return found.settings if found.state == "live" else intended(options)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _balancer(ctx: Context, options: K0sOptions, settings: Settings) -> Iterator[Diagnostic]:
    """SB672: the node-local load balancer is not built for every node, or cannot be on this cluster."""
    if not settings.balanced:
        return
    at = ctx.inventory.origins.get("options.config")
    for host in ctx.reached:
        arch = ctx.facts[host.name].kernel_arch
        reason = hint = ""
        if host.role == "single":
            reason = "a cluster of one host has no node-local load balancing, and k0s does not start with it"
            hint = "take `nodeLocalLoadBalancing` out of its configuration"
        elif host.role in NODES and settings.balancer == "EnvoyProxy" and arch in NO_ENVOY:
            reason = f"node-local load balancing with EnvoyProxy cannot run on {host.name}: Envoy is not built for {arch}"
            hint = "write `type: Traefik`, which k0s has from 1.36.1 on, or switch it off"
        if reason and not options.leaving(host):
            yield Diagnostic("SB672", reason, host=host.name, at=host.origin("role") or at, hints=(hint,))


def _unknown(options: K0sOptions, found: Live) -> Iterator[Diagnostic]:
    """SB673: there may be a live ClusterConfig, and nobody can tell what is in it."""
    if found.state != "failed" or found.host is None:
        return
    never = intended(options).never
    yield Diagnostic(
        "SB673",
        f"{found.host.name} cannot tell what the live ClusterConfig says about images",
        Severity.ERROR if never else Severity.WARNING,
        host=found.host.name,
        at=found.host.origin(),
        evidence=(("kubectl", found.why or "nothing"),),
        hints=("have the API server answer first: `k0s kubectl get --raw=/readyz` on that host",),
    )


def _stale(
    ctx: Context, options: K0sOptions, found: Live, host: Host, pins: Mapping[Place, Pin]
) -> Diagnostic:
    """SB671: what older releases have pinned, beside what the coming one has."""
    has = release(ctx, options, host, found.settings.repository)
    wide = max(len("pinned"), *(len(pin.version or "-") for pin in pins.values()))
    moves = tuple(
        f"{place.label} comes from another registry now: {pin.image} is {has.images[place.path].name}"
        for place, pin in pins.items()
        if pin.image and pin.image != has.images[place.path].name
    )
    removed = options.unpin == "true"
    # What is in a node's runtime alone loses its hold as soon as its bundle is superseded.
    rows = [row for table in tables(ctx, options, found.settings) for row in table.rows if row.place in pins]
    never = found.settings.never and not all(row.bundled for row in rows)
    what = f"the live ClusterConfig pins {_count(len(pins), 'image')} of an older release"
    return Diagnostic(
        "SB671",
        f"{what}: this run unpins them" if removed else f"{what}, and {_next(has)} would go on using them",
        Severity.NOTE if removed else Severity.ERROR if never else Severity.WARNING,
        host=host.name,
        at=ctx.inventory.origins.get("cluster.release") or host.origin(),
        evidence=(
            ("asked", f"{host.name}: kube-system/k0s, default_pull_policy {found.settings.policy}"),
            ("told by", has.source),
            ("image", f"{'pinned':<{wide}}  {has.text or 'release'}"),
            *(
                (place.label, f"{pin.version or '-':<{wide}}  {has.images[place.path].tag}")
                for place, pin in pins.items()
            ),
        ),
        notes=moves,
        hints=() if removed else _OFFER,
    )


def _next(has: Release) -> str:
    return has.text or "the new release"


def _bundle(ctx: Context, options: K0sOptions, table: Table) -> Iterator[Diagnostic]:
    """SB674: the bundle, or the list, is another release's than the program."""
    coming = table.release.images.get(PROXY.path)
    if coming is None or of_release(coming, table.release.text) or PROXY.path in intended(options).pins:
        return
    here = [str(ref) for ref in bundled(ctx, options, table.host) if ref.product == PROXY.product]
    yield Diagnostic(
        "SB674",
        f"{table.release.source} is for another release than the k0s of {table.host.name}",
        Severity.ERROR if table.settings.never else Severity.WARNING,
        host=table.host.name,
        at=ctx.inventory.origins.get("artifacts.images"),
        evidence=(
            ("k0s", table.release.text),
            (table.release.source, str(coming)),
            *((("bundle", ", ".join(here)),) if here else ()),
        ),
        hints=("use the bundle and the list that were published with this release",),
    )


def _missing(table: Table) -> Iterator[Diagnostic]:
    """SB670: images that a node wants and nobody brings; SB675: nothing tells which they are."""
    host, never = table.host, table.settings.never
    if not table.release.images and not any(row.pinned for row in table.rows):
        if never and not any(row.stored for row in table.rows):
            yield Diagnostic(
                "SB675",
                f"nothing tells which images {host.name} will want, and nothing is pulled there",
                Severity.WARNING,
                host=host.name,
                at=host.origin(),
                hints=("name the release's bundle: `artifacts: {images: [binaries/k0s-airgap-bundle-*]}`",),
            )
        return
    lacking = [row for row in table.rows if row.missing]
    if not lacking or not (never or table.release.source):
        return
    yield Diagnostic(
        "SB670",
        f"{host.name} would want {_count(len(lacking), 'image')} that {'are' if len(lacking) > 1 else 'is'}"
        f" neither in its bundle nor on it{', and it pulls none' if never else ''}",
        Severity.ERROR if never else Severity.WARNING,
        host=host.name,
        at=host.origin(),
        evidence=_lines(table),
        notes=("(*) pinned by the live ClusterConfig or k0s.yaml",)
        if any(r.pinned for r in table.rows)
        else (),
        hints=("put them into the bundle, or unpin those that are not meant (SB671)",),
    )


def _lines(table: Table) -> tuple[tuple[str, str], ...]:
    """One line an image, short enough for 80 columns."""
    tags: Sequence[str] = [
        (f"{row.needed.tag}{' (*)' if row.pinned else ''}" if row.needed else "?") for row in table.rows
    ]
    wide = max(len("needed"), *map(len, tags)) if tags else 6
    said = [
        (
            row.place.label,
            f"{tag:<{wide}}  {'yes' if row.bundled else 'no':<6}  {'yes' if row.stored else 'no':<7}"
            f"{'  MISSING' if row.missing else ''}".rstrip(),
        )
        for row, tag in zip(table.rows, tags, strict=True)
    ]
    head = ("image", f"{'needed':<{wide}}  bundle  on node")
    return (("release", f"{_next(table.release)}, told by {table.release.source or 'nothing'}"), head, *said)
