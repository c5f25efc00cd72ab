"""${message}"""

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}
% if config.attributes.get("retires"):
retires = ${repr(config.attributes["retires"])}  # this code no longer has it; a later release drops it
% endif


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}
