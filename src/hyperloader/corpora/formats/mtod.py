"""The official files of mTOD: five columns, otherwise as mTOP's."""

from hyperloader.corpora.formats.format import Format
from hyperloader.corpora.formats.mtop import TOKENS, table_read, table_sniff

FORMAT = Format(
    name="mtod",
    description="official mTOD: 5 tab-separated columns",
    extensions=(".tsv", ".txt"),
    example=f'music/play\t5:9:artist\tPlay Abba\ten_XX\t{{"tokenizations":[{TOKENS}]}}\n'
    f'music/play\t\tPlay Abba\ten_XX\t{{"tokenizations":[{TOKENS}]}}',
    sniff=table_sniff(5),
    read=table_read(5, lambda row: (row[0], row[1], row[2], row[4])),
)
