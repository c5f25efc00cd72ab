"""Words of Terraform's language: its functions, and what every block takes.

Source: developer.hashicorp.com/terraform/language/functions, those that OpenTofu has too.
"""

META_ARGUMENTS = frozenset(
    ("count", "depends_on", "for_each", "lifecycle", "provider", "provisioner", "connection")
)

_FUNCTIONS = """
abs alltrue anytrue abspath base64decode base64encode base64gzip base64sha256 base64sha512
basename bcrypt can ceil chomp chunklist cidrhost cidrnetmask cidrsubnet cidrsubnets coalesce
coalescelist compact concat contains csvdecode dirname distinct element endswith file
filebase64 filebase64sha256 filebase64sha512 fileexists filemd5 fileset filesha1 filesha256
filesha512 flatten floor format formatdate formatlist indent index join jsondecode jsonencode
keys length list log lookup lower map matchkeys max md5 merge min nonsensitive one parseint
pathexpand plantimestamp pow range regex regexall replace reverse rsadecrypt sensitive
setintersection setproduct setsubtract setunion sha1 sha256 sha512 signum slice sort split
startswith strcontains strrev substr sum templatefile templatestring textdecodebase64
textencodebase64 timeadd timecmp timestamp title tobool tolist tomap tonumber toset tostring
transpose trim trimprefix trimspace trimsuffix try upper urlencode uuid uuidv5 values yamldecode
yamlencode zipmap object optional set string number bool any tuple
"""

FUNCTIONS = frozenset(_FUNCTIONS.split())
"""`object`, `optional` and the like stand in types."""
