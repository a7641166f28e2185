"""stub"""
from dataclasses import dataclass
@dataclass
class Running:
    pid:int
    link:str
    def stop(self): ...
def start(*a): ...
